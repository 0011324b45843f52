package micollab

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Version is a MiCollab release. The zero Version is no version.
//
// Mitel writes the same release in two ways: as a name, "9.8 SP1", and as a
// software version, "9.8.1.26", whose third number is the service pack and
// whose fourth is the build.
type Version struct {
	// Major and Minor are the release, such as 9 and 8.
	Major, Minor int
	// ServicePack is the service pack; 0 where there is none.
	ServicePack int
	// FeaturePack is the feature pack, which only the name of a release tells.
	FeaturePack int
	// Build and Revision are the last numbers of a software version such as
	// 9.8.1.26-01, which the name of a release does not tell.
	Build, Revision int
}

// Minimum is the first release that takes Microsoft Teams presence: 9.8 SP1
// (Mitel Administration user guide, "Microsoft Teams integration").
func Minimum() Version { return Version{Major: 9, Minor: 8, ServicePack: 1} }

// versionForm takes both ways of writing; digits are bounded so that every
// number fits an int on every platform.
var versionForm = regexp.MustCompile(`(?i)^(?:micollab\s*)?(?:release\s*|r|v)?` +
	`(\d{1,6})\.(\d{1,6})(?:\.(\d{1,6})(?:\.(\d{1,6})(?:-(\d{1,6}))?)?)?` +
	`(?:\s*sp\s*(\d{1,6}))?(?:\s*fp\s*(\d{1,6}))?$`)

// ParseVersion reads a version as Mitel writes it: "9.8", "9.8 SP1",
// "9.8 SP1 FP1", "9.8.1.26", "10.0.0.26-01", also with "MiCollab", "Release",
// "R" or "v" before it, whatever its case. The error of a text that is none of
// these shows the forms.
func ParseVersion(s string) (Version, error) {
	parts := versionForm.FindStringSubmatch(strings.TrimSpace(s))
	if parts == nil {
		return Version{}, fmt.Errorf(`micollab: %q is not a MiCollab version: write it like "9.8 SP1" or "9.8.1.26"`, shorten(s))
	}
	if parts[3] != "" && parts[6] != "" {
		return Version{}, fmt.Errorf(`micollab: %q gives the service pack twice: write "9.8 SP1" or "9.8.1.26"`, shorten(s))
	}
	number := func(i int) int {
		n, _ := strconv.Atoi(parts[i]) // digits only, or empty for 0
		return n
	}
	return Version{
		Major: number(1), Minor: number(2), ServicePack: number(3) + number(6),
		Build: number(4), Revision: number(5), FeaturePack: number(7),
	}, nil
}

// shorten keeps a wrong text from filling an error.
func shorten(s string) string {
	const limit = 40
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}

// Compare returns -1 if v is older than w, +1 if it is newer, and 0 if they are
// the same. Of two versions with the same service pack the higher feature pack
// is newer, then the higher build and revision. What one of the two does not
// tell counts as 0, so compare builds with feature packs only across service
// packs.
func (v Version) Compare(w Version) int {
	return cmp.Or(
		cmp.Compare(v.Major, w.Major), cmp.Compare(v.Minor, w.Minor), cmp.Compare(v.ServicePack, w.ServicePack),
		cmp.Compare(v.FeaturePack, w.FeaturePack), cmp.Compare(v.Build, w.Build), cmp.Compare(v.Revision, w.Revision),
	)
}

// IsZero reports whether v is no version.
func (v Version) IsZero() bool { return v == Version{} }

// String returns "9.8.1.26" where the build is known and "9.8 SP1" otherwise,
// each with the feature pack behind it; [ParseVersion] reads both back. The zero
// Version gives "unknown".
func (v Version) String() string {
	if v.IsZero() {
		return "unknown"
	}
	s := fmt.Sprintf("%d.%d", v.Major, v.Minor)
	switch {
	case v.Build != 0 || v.Revision != 0:
		s += fmt.Sprintf(".%d.%d", v.ServicePack, v.Build)
		if v.Revision != 0 {
			s += fmt.Sprintf("-%02d", v.Revision)
		}
	case v.ServicePack != 0:
		s += fmt.Sprintf(" SP%d", v.ServicePack)
	}
	if v.FeaturePack != 0 {
		s += fmt.Sprintf(" FP%d", v.FeaturePack)
	}
	return s
}

// MarshalText returns [Version.String], empty for the zero Version.
func (v Version) MarshalText() ([]byte, error) {
	if v.IsZero() {
		return nil, nil
	}
	return []byte(v.String()), nil
}

// UnmarshalText reads a version as [ParseVersion] does; an empty text is the zero Version.
func (v *Version) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*v = Version{}
		return nil
	}
	parsed, err := ParseVersion(string(text))
	if err != nil {
		return err
	}
	*v = parsed
	return nil
}
