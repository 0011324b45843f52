package verify

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// trouble is one thing that is not as it should be, and what a check says of it.
type trouble struct {
	name string
	code Code
	// cause breaks the plant.
	cause func(*plant, *SystemOptions, *SystemSettings)
	// status is what the check becomes, and sentence and remedy are parts of what it
	// says; an empty remedy is that of the table, and so is an empty administrator.
	status        Status
	sentence      string
	remedy        string
	administrator Administrator
}

// checkTroubles makes each check of the troubles against a plant that is in order but for
// that.
func checkTroubles(t *testing.T, troubles []trouble) {
	t.Helper()
	for _, tt := range troubles {
		t.Run(string(tt.code)+" "+tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPlant()
				settings, opts := p.settings(), SystemOptions{Resolver: p, Dial: p.answer}
				tt.cause(p, &opts, &settings)
				c, err := NewSystemCheck(p.sources(), settings, &opts)
				require.NoError(t, err)
				results := c.alone(t, tt.code)
				require.Len(t, results, 1)
				r, check := results[0], checkOf(t, tt.code)
				assert.Equal(t, tt.status, r.Status, r.Sentence)
				assert.Contains(t, r.Sentence, tt.sentence)
				if tt.status == Passed || tt.status == NotApplicable {
					return
				}
				assert.Regexp(t, `^[A-Z0-9a-z].*[.]$`, r.Sentence)
				if tt.remedy == "" {
					assert.Equal(t, check.Remedy, r.Remedy)
				} else {
					assert.Contains(t, r.Remedy, tt.remedy)
					assert.Regexp(t, `^[A-Z].*[.]$`, r.Remedy)
				}
				if tt.administrator == "" {
					tt.administrator = check.Administrator
				}
				assert.Equal(t, tt.administrator, r.Administrator)
			})
		})
	}
}

func checkOf(t *testing.T, code Code) Check {
	t.Helper()
	for _, check := range Checks() {
		if check.Code == code {
			return check
		}
	}
	require.Fail(t, "there is no check "+string(code))
	return Check{}
}

// value returns the evidence of a name.
func (r Result) value(name string) string {
	for _, e := range r.Evidence {
		if e.Name == name {
			return e.Value
		}
	}
	return ""
}
