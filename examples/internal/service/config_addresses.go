package service

import (
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// url returns a URL without query, https unless it leads to this machine.
func (s *section) url(name string) string {
	value := s.text(name)
	if value == "" {
		return ""
	}
	u, err := url.Parse(value)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || (u.Scheme != "https" && u.Scheme != "http"):
		s.fail(name, "this is not a base URL: write it like https://presence.example.com, without user, query and fragment")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		s.fail(name, "%s is not https, which only this machine's own addresses may do without: use https", shown(value))
	}
	return strings.TrimRight(value, "/")
}

// address returns a host and port to listen on.
func (s *section) address(name string) string {
	value := s.text(name)
	if value == "" {
		return ""
	}
	if _, port, err := net.SplitHostPort(value); err != nil || !validPort(port) {
		s.fail(name, "%s is not an address to listen on: write it like 127.0.0.1:8080 or :8080", quote(value))
	}
	return value
}

func validPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && strconv.FormatUint(n, 10) == port
}

// sameAddress reports whether one of the two listeners would find its port
// taken by the other.
func sameAddress(listen, status string) bool {
	host, port, err := net.SplitHostPort(listen)
	other, otherPort, otherErr := net.SplitHostPort(status)
	if err != nil || otherErr != nil || port != otherPort || port == "0" {
		return false
	}
	address, err := netip.ParseAddr(host)
	return host == "" || host == other || err == nil && address.IsUnspecified()
}

// loopback reports whether host is this machine itself.
func loopback(host string) bool {
	if address, err := netip.ParseAddr(host); err == nil {
		return address.IsLoopback()
	}
	return strings.EqualFold(host, "localhost")
}
