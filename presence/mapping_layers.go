package presence

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// The names of the layers, as [Rule] tells them.
const (
	layerDefault  = "default"
	layerEveryone = "everyone"
)

// Layers are the rules that make a [Mapping]. A higher layer needs only the
// rules in which it differs from those below.
type Layers struct {
	// Base is the lowest layer. Default (no rule): [DefaultRules].
	Base Rules
	// Everyone comes above Base. Default: no rule.
	Everyone Rules
	// Groups are the rules of mapping groups by name; upper and lower case do
	// not matter. They come above Everyone, for the users that name the group in
	// [User.Groups]; of several groups the one that the user names first
	// is asked first. Default: no group.
	Groups map[string]Rules
	// Users are the rules of single persons, by e-mail address or by Entra
	// object id; upper and lower case do not matter. They come on top; if
	// a person has both, those by object id come first. Default: none.
	Users map[string]Rules
}

// Mapping gives every user the table that holds for that user. It is safe for
// concurrent use.
type Mapping struct {
	base   []*layer // everyone, default
	groups map[string]*layer
	users  map[string]*layer
	common *Table // for those without a layer of their own

	mu     sync.RWMutex
	tables map[string]*Table // by the names of the layers above base
}

// NewMapping returns the mapping of the layers; nil layers mean the default
// for everyone. Its error joins a fault for every group or user that is named
// twice (in different upper and lower case, say) or has no name.
func NewMapping(layers *Layers) (*Mapping, error) {
	if layers == nil {
		layers = &Layers{}
	}
	base := layers.Base
	if base.Len() == 0 {
		base = DefaultRules()
	}
	m := &Mapping{tables: map[string]*Table{}}
	if layers.Everyone.Len() > 0 {
		m.base = append(m.base, newLayer(layerEveryone, layers.Everyone))
	}
	m.base = append(m.base, newLayer(layerDefault, base))
	var groupFaults, userFaults error
	m.groups, groupFaults = namedLayers("group", layers.Groups)
	m.users, userFaults = namedLayers("user", layers.Users)
	if err := errors.Join(groupFaults, userFaults); err != nil {
		return nil, err
	}
	m.common = newTable(m.base)
	return m, nil
}

func namedLayers(noun string, named map[string]Rules) (map[string]*layer, error) {
	result := make(map[string]*layer, len(named))
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(named)) {
		key := layerKey(name)
		switch {
		case key == "":
			faults = append(faults, fmt.Errorf("presence: mapping: a %s has no name: name it or remove its rules", noun))
		case result[key] != nil:
			faults = append(faults, fmt.Errorf("presence: mapping: %s %q is there twice, upper and lower case aside: join the rules", noun, name))
		default:
			result[key] = newLayer(noun+" "+strings.TrimSpace(name), named[name])
		}
	}
	return result, errors.Join(faults...)
}

func layerKey(name string) string { return strings.ToLower(strings.TrimSpace(name)) }

// For returns the table of the user, of whom TeamsID, Email and Groups matter.
// Users with the same layers share one Table. Groups that the mapping
// does not know have no effect.
func (m *Mapping) For(user User) *Table {
	var own []*layer
	for _, key := range []string{user.TeamsID, user.Email} {
		own = appendLayer(own, m.users, key)
	}
	for _, group := range user.Groups {
		own = appendLayer(own, m.groups, group)
	}
	if len(own) == 0 {
		return m.common
	}
	var key []byte
	for _, l := range own {
		key = strconv.AppendQuote(key, l.name)
	}
	m.mu.RLock()
	t := m.tables[string(key)]
	m.mu.RUnlock()
	if t != nil {
		return t
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if t = m.tables[string(key)]; t == nil {
		t = newTable(slices.Concat(own, m.base))
		m.tables[string(key)] = t
	}
	return t
}

func appendLayer(own []*layer, named map[string]*layer, name string) []*layer {
	if len(named) == 0 {
		return own
	}
	if l := named[layerKey(name)]; l != nil && !contains(own, l) {
		return append(own, l)
	}
	return own
}
