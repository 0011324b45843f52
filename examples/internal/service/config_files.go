package service

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/presencebridge/presencebridge/presence"
)

// file returns a path; one that is not absolute starts at the configuration
// file's own folder.
func (s *section) file(name string) string {
	path := s.text(name)
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(s.doc.file), path)
}

// contents reads the file that a key names.
func (s *section) contents(name string) []byte {
	path := s.file(name)
	if path == "" {
		return nil
	}
	data, err := ReadFile(path)
	if err != nil {
		s.fail(name, "%v: correct the path or the file's permissions", err)
	}
	return data
}

// maxFile bounds a configuration file, and every file that it names.
const maxFile = 1 << 20

// ReadFile returns the contents of a file of at most 1 MiB. It refuses what is not a
// regular file, because to open a pipe or a terminal could take for ever.
func ReadFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	data, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxFile)
	}
	return data, err
}

// secret returns the secret that a key tells the place of.
func (s *section) secret(name string) presence.Secret {
	f, ok := s.take(name)
	if !ok {
		return presence.Secret{}
	}
	if f.node.Kind == yaml.ScalarNode {
		// The value is not repeated: it may be the secret itself.
		s.fail(name, "a secret does not stand here by itself: write {env: NAME} for an environment variable, or {file: PATH}")
		return presence.Secret{}
	}
	place := s.doc.section(s.path(name), f.node)
	place.line = f.line
	if !place.present {
		return presence.Secret{}
	}
	variable, value := place.text("env"), place.text("value")
	path := place.file("file")
	given := 0
	for _, v := range []string{variable, path, value} {
		if v != "" {
			given++
		}
	}
	place.close()
	if given != 1 {
		s.fail(name, "give one place for the secret: env, file or value")
		return presence.Secret{}
	}
	switch {
	case variable != "":
		found, _ := s.doc.lookup(variable)
		if found = strings.TrimSpace(found); found == "" {
			s.fail(name, "environment variable %s is empty: set it or use file", shown(variable))
		}
		return presence.NewSecret(found)
	case path != "":
		found := strings.TrimSpace(string(place.contents("file")))
		if found == "" && !s.doc.failed(place.path("file")) {
			s.fail(name, "file %s is empty: put the secret into it, alone", shown(path))
		}
		if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o007 != 0 {
			s.doc.warn(f.line, s.path(name), "every account of this machine can read %s: chmod 600", shown(path))
		}
		return presence.NewSecret(found)
	default:
		s.doc.warn(f.line, s.path(name), "the secret stands in this file: prefer env or file, and keep the file from others")
		return presence.NewSecret(value)
	}
}

func (d *document) failed(key string) bool {
	return slices.ContainsFunc(d.mistakes, func(m *Mistake) bool { return m.Key == key })
}

// requiredSecret is secret that must be there.
func (s *section) requiredSecret(name, hint string) presence.Secret {
	if !s.has(name) {
		s.fail(name, "is missing: %s", hint)
	}
	return s.secret(name)
}
