package micollab_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/presencebridge/presencebridge/micollab"
)

func TestParseVersion(t *testing.T) {
	for text, want := range map[string]micollab.Version{
		"9.8":                  {Major: 9, Minor: 8},
		"9.8 SP1":              {Major: 9, Minor: 8, ServicePack: 1},
		"9.8sp1":               {Major: 9, Minor: 8, ServicePack: 1},
		" 9.8  SP 1 ":          {Major: 9, Minor: 8, ServicePack: 1},
		"R9.8 SP1":             {Major: 9, Minor: 8, ServicePack: 1},
		"MiCollab 9.8 SP1":     {Major: 9, Minor: 8, ServicePack: 1},
		"Release 9.8":          {Major: 9, Minor: 8},
		"9.8 SP1 FP2":          {Major: 9, Minor: 8, ServicePack: 1, FeaturePack: 2},
		"9.8 FP1":              {Major: 9, Minor: 8, FeaturePack: 1},
		"9.8.1":                {Major: 9, Minor: 8, ServicePack: 1},
		"9.8.1.26":             {Major: 9, Minor: 8, ServicePack: 1, Build: 26},
		"v9.8.1.26-01":         {Major: 9, Minor: 8, ServicePack: 1, Build: 26, Revision: 1},
		"9.8.1.26 FP1":         {Major: 9, Minor: 8, ServicePack: 1, Build: 26, FeaturePack: 1},
		"10.0.0.26":            {Major: 10, Build: 26},
		"micollab r9.8.1.26-9": {Major: 9, Minor: 8, ServicePack: 1, Build: 26, Revision: 9},
	} {
		got, err := micollab.ParseVersion(text)
		if assert.NoError(t, err, text) {
			assert.Equal(t, want, got, text)
		}
	}
	for _, text := range []string{"", "9", "SP1", "9.8.", "9.8.1 SP1", "9.8 SP", "9.8 FP1 SP1", "9.8.1.2.3", "-9.8", "9.8 beta", "9.9999999", "9,8"} {
		v, err := micollab.ParseVersion(text)
		assert.Error(t, err, text)
		assert.True(t, v.IsZero(), text)
	}
}

func TestVersionsAreOrdered(t *testing.T) {
	ordered := []string{"8.1.2.18", "9.7", "9.8", "9.8.0.33", "9.8 SP1", "9.8.1.26", "9.8.1.26-01", "9.8.1.27", "9.8 SP1 FP1", "9.8 SP2", "9.10", "10.0", "10.0.0.26"}
	for i, a := range ordered {
		for j, b := range ordered {
			va, err := micollab.ParseVersion(a)
			require.NoError(t, err)
			vb, err := micollab.ParseVersion(b)
			require.NoError(t, err)
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			assert.Equal(t, want, va.Compare(vb), "%s against %s", a, b)
		}
	}
}

func TestNumberedServicePackIsTheNamedOne(t *testing.T) {
	named, err := micollab.ParseVersion("9.8 SP1")
	require.NoError(t, err)
	numbered, err := micollab.ParseVersion("9.8.1")
	require.NoError(t, err)
	assert.Equal(t, micollab.Minimum(), named)
	assert.Equal(t, named, numbered)
}

func TestVersionTextIsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.IntRange(0, 999_999)
		v := micollab.Version{
			Major: number.Draw(t, "major"), Minor: number.Draw(t, "minor"), ServicePack: number.Draw(t, "servicePack"),
			FeaturePack: number.Draw(t, "featurePack"), Build: number.Draw(t, "build"), Revision: number.Draw(t, "revision"),
		}
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var got micollab.Version
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if got != v {
			t.Fatalf("%+v became %s and then %+v", v, text, got)
		}
	})
}

func TestVersionTextThatIsNoneIsRefused(t *testing.T) {
	v := micollab.Minimum()
	require.Error(t, json.Unmarshal([]byte(`"new"`), &v))
	assert.Equal(t, micollab.Minimum(), v)
	assert.Equal(t, "unknown", micollab.Version{}.String())
}

func FuzzParseVersion(f *testing.F) {
	for _, text := range []string{"9.8", "9.8 SP1", "9.8.1.26-01", "MiCollab R9.8 SP1 FP1", "9.8.1 SP1", "٩.٨", "9.8\x00"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, err := micollab.ParseVersion(text)
		if err != nil {
			if !v.IsZero() || len(err.Error()) > 400 {
				t.Fatalf("%q: %v, %v", text, v, err)
			}
			return
		}
		if v.IsZero() {
			return // "0.0", which has no text of its own
		}
		again, err := micollab.ParseVersion(v.String())
		if err != nil || again != v {
			t.Fatalf("%q became %v and then %v, %v", text, v, again, err)
		}
	})
}
