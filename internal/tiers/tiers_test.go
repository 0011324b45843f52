// Package tiers has no code: its test keeps the packages of the module in
// their tiers, and heavy or foreign dependencies where they belong.
package tiers

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const module = "github.com/presencebridge/presencebridge"

// tiers places every package of the library; a package may import packages of
// a lower tier only. The root package is ".".
var tiers = map[string]int{
	"presence":          0,
	"graph":             1,
	"cloudlink":         1,
	"micollab":          1,
	"monitor":           2,
	"monitor/boltstore": 3,
	"monitor/entra":     3,
	".":                 3,
	"verify":            4,
	"verify/tenant":     5,
}

// overGraph are the packages that join graph to an interface of the library.
// Like the examples they may reach the SDK, and nothing but an example may
// import them.
var overGraph = []string{"monitor/entra", "verify/tenant"}

// doubles are public packages for tests. A double may import the package that
// it stands for, or is the conformance suite of, and what that one may import.
// Nothing of the library may import a double.
var doubles = map[string]string{
	"graph/graphtest":         "graph",
	"cloudlink/cloudlinktest": "cloudlink",
	"micollab/micollabtest":   "micollab",
	"monitor/storetest":       "monitor",
}

// sdkPrefixes begin the import paths that only graph may import and only graph,
// what is over it and the examples may reach: compiling them takes minutes.
var sdkPrefixes = []string{"github.com/microsoftgraph/", "github.com/microsoft/kiota-"}

// onlyIn are the packages that alone may import what begins with a prefix, so
// that nobody else's program links it.
var onlyIn = map[string]string{"go.etcd.io/": "monitor/boltstore"}

// testOnly begin the import paths that must not be linked into the library.
var testOnly = []string{
	"testing/", "github.com/stretchr/testify/", "github.com/jarcoal/httpmock/", "pgregory.net/rapid/", "go.uber.org/goleak/",
}

// pkg is what `go list -json` tells of a package, without its tests.
type pkg struct {
	ImportPath string
	Imports    []string
}

func TestModuleKeepsItsTiers(t *testing.T) {
	for _, v := range violations(listPackages(t)) {
		t.Error(v)
	}
}

func listPackages(t *testing.T) []pkg {
	t.Helper()
	readSources(t)
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=ImportPath,Imports", module+"/...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, stderr.String())
	var pkgs []pkg
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			return pkgs
		}
		require.NoError(t, err)
		pkgs = append(pkgs, p)
	}
}

// readSources looks at every folder of the module, because go test sees what a
// test reads itself and not what its commands read: it would otherwise return
// an old result after another package has changed.
func readSources(t *testing.T) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(filepath.Join("..", ".."), func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist): // an editor's file that came and went
			return nil
		case err != nil:
			return err
		case strings.HasSuffix(path, ".go"):
			_, _ = os.Stat(path)
			return nil
		case !d.IsDir():
			return nil
		case len(d.Name()) > 2 && d.Name()[0] == '.':
			return fs.SkipDir
		default:
			return nil
		}
	}))
}

// violations returns one sentence for every broken rule.
func violations(pkgs []pkg) []string {
	imports := map[string][]string{}
	for _, p := range pkgs {
		imports[p.ImportPath] = p.Imports
	}
	var found []string
	for _, p := range pkgs {
		name, ok := local(p.ImportPath)
		if !ok {
			continue
		}
		if kindOf(name) == unplaced {
			found = append(found, name+" has no tier: place it in this test")
		}
		for _, imported := range p.Imports {
			if other, ok := local(imported); ok && !mayImport(name, other) {
				found = append(found, fmt.Sprintf("%s imports %s, which is not of a lower tier", name, other))
			}
			if hasAnyPrefix(imported, sdkPrefixes) && name != "graph" {
				found = append(found, fmt.Sprintf("%s imports %s: only graph may", name, imported))
			}
			for prefix, owner := range onlyIn {
				if strings.HasPrefix(imported, prefix) && name != owner {
					found = append(found, fmt.Sprintf("%s imports %s: only %s may", name, imported, owner))
				}
			}
		}
		if name != "graph" && kindOf(name) != example && !slices.Contains(overGraph, name) {
			if path := pathTo(imports, p.ImportPath, sdkPrefixes); path != "" {
				found = append(found, fmt.Sprintf("%s reaches the SDK: %s", name, path))
			}
		}
		if kindOf(name) == library {
			if path := pathTo(imports, p.ImportPath, testOnly); path != "" {
				found = append(found, fmt.Sprintf("%s links a package for tests: %s", name, path))
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

type kind int

const (
	unplaced kind = iota
	library
	double
	shared
	example
)

func kindOf(name string) kind {
	_, isLibrary := tiers[name]
	_, isDouble := doubles[name]
	switch {
	case isLibrary:
		return library
	case isDouble:
		return double
	case strings.HasPrefix(name, "internal/"):
		return shared
	case strings.HasPrefix(name, "examples/"):
		return example
	default:
		return unplaced
	}
}

// mayImport says whether one package of the module may import another.
func mayImport(name, other string) bool {
	if kindOf(other) == shared {
		return true
	}
	switch kindOf(name) {
	case library:
		return kindOf(other) == library && tiers[other] < tiers[name]
	case double:
		standsFor := doubles[name]
		return other == standsFor || mayImport(standsFor, other)
	case shared:
		return other == "presence"
	case example:
		return true
	default:
		return false
	}
}

// local returns the path of a package inside the module.
func local(importPath string) (string, bool) {
	if importPath == module {
		return ".", true
	}
	return strings.CutPrefix(importPath, module+"/")
}

func hasAnyPrefix(path string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(path+"/", prefix) })
}

// pathTo returns a shortest chain of imports from a package to one of those
// that begin with a prefix, or "". It does not search beyond those of the
// module and their dependencies that pkgs lists.
func pathTo(imports map[string][]string, from string, prefixes []string) string {
	before := map[string]string{from: ""}
	for queue := []string{from}; len(queue) > 0; queue = queue[1:] {
		for _, next := range imports[queue[0]] {
			if _, seen := before[next]; seen {
				continue
			}
			before[next] = queue[0]
			if hasAnyPrefix(next, prefixes) {
				chain := []string{}
				for p := next; p != ""; p = before[p] {
					chain = append(chain, p)
				}
				slices.Reverse(chain)
				return strings.Join(chain, " → ")
			}
			queue = append(queue, next)
		}
	}
	return ""
}

func TestViolationsAreFound(t *testing.T) {
	const sdk = "github.com/microsoftgraph/msgraph-sdk-go/users"
	p := func(name string, imports ...string) pkg {
		full := func(name string) string {
			switch {
			case name == ".":
				return module
			case kindOf(name) != unplaced || name == "extra":
				return module + "/" + name
			default:
				return name
			}
		}
		result := pkg{ImportPath: full(name)}
		for _, i := range imports {
			result.Imports = append(result.Imports, full(i))
		}
		return result
	}
	tests := []struct {
		name string
		pkgs []pkg
		want []string
	}{
		{
			name: "a sound module",
			pkgs: []pkg{
				p("presence", "internal/secret", "strings"), p("internal/secret", "fmt"), p("internal/throttle", "presence", "internal/secret"),
				p("graph", "presence", sdk), p(sdk, "github.com/microsoft/kiota-abstractions-go"), p("cloudlink", "presence"),
				p("monitor", "presence"), p(".", "presence", "monitor"), p("cloudlink/cloudlinktest", "presence", "cloudlink"),
				p("monitor/storetest", "monitor", "testing", "github.com/stretchr/testify/require"),
				p("examples/bridge", ".", "graph", "cloudlink/cloudlinktest", "monitor/storetest", "examples/internal/day"),
				p("examples/internal/day", "presence"),
			},
		},
		{
			name: "upwards", pkgs: []pkg{p("presence", "graph"), p("graph")},
			want: []string{"presence imports graph, which is not of a lower tier"},
		},
		{
			name: "sideways", pkgs: []pkg{p("micollab", "cloudlink"), p("cloudlink")},
			want: []string{"micollab imports cloudlink, which is not of a lower tier"},
		},
		{
			name: "a double in the library", pkgs: []pkg{p(".", "graph/graphtest"), p("graph/graphtest")},
			want: []string{". imports graph/graphtest, which is not of a lower tier"},
		},
		{
			name: "a double beside its own side", pkgs: []pkg{p("cloudlink/cloudlinktest", "graph/graphtest", "monitor")},
			want: []string{
				"cloudlink/cloudlinktest imports graph/graphtest, which is not of a lower tier",
				"cloudlink/cloudlinktest imports monitor, which is not of a lower tier",
			},
		},
		{
			name: "internal upwards", pkgs: []pkg{p("internal/double", "cloudlink")},
			want: []string{"internal/double imports cloudlink, which is not of a lower tier"},
		},
		{
			name: "an example in the library", pkgs: []pkg{p("verify", "examples/internal/day")},
			want: []string{"verify imports examples/internal/day, which is not of a lower tier"},
		},
		{
			name: "no tier", pkgs: []pkg{p("extra")},
			want: []string{"extra has no tier: place it in this test"},
		},
		{
			name: "SDK outside graph", pkgs: []pkg{p("examples/bridge", sdk), p("internal/throttle", "github.com/microsoft/kiota-http-go")},
			want: []string{
				"examples/bridge imports " + sdk + ": only graph may",
				"internal/throttle imports github.com/microsoft/kiota-http-go: only graph may",
				"internal/throttle reaches the SDK: " + module + "/internal/throttle → github.com/microsoft/kiota-http-go",
			},
		},
		{
			name: "the store on disk elsewhere", pkgs: []pkg{p("monitor", "go.etcd.io/bbolt"), p("monitor/boltstore", "monitor", "go.etcd.io/bbolt")},
			want: []string{"monitor imports go.etcd.io/bbolt: only monitor/boltstore may"},
		},
		{
			name: "over graph", pkgs: []pkg{p("monitor/entra", "graph", "monitor"), p("graph", sdk), p(".", "monitor/entra")},
			want: []string{
				". imports monitor/entra, which is not of a lower tier",
				". reaches the SDK: " + module + " → " + module + "/monitor/entra → " + module + "/graph → " + sdk,
			},
		},
		{
			name: "SDK reached through graph", pkgs: []pkg{p(".", "graph"), p("graph", sdk)},
			want: []string{". reaches the SDK: " + module + " → " + module + "/graph → " + sdk},
		},
		{
			name: "test library linked", pkgs: []pkg{p("verify", "internal/double"), p("internal/double", "pgregory.net/rapid")},
			want: []string{"verify links a package for tests: " + module + "/verify → " + module + "/internal/double → pgregory.net/rapid"},
		},
		{
			name: "package testing linked", pkgs: []pkg{p("presence", "testing")},
			want: []string{"presence links a package for tests: " + module + "/presence → testing"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { assert.Equal(t, tt.want, violations(tt.pkgs)) })
	}
}
