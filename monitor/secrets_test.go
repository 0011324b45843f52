package monitor

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/presencebridge/presencebridge/presence"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func ExampleFindClientSecret() {
	secrets := []ClientSecret{
		{KeyID: "1", Description: "MiCollab", Hint: "x7Q", ExpiresAt: time.Date(2026, 6, 30, 0, 0, 0, 0, time.UTC)},
		{KeyID: "2", Description: "MiCollab", Hint: "k3B", ExpiresAt: time.Date(2027, 6, 30, 0, 0, 0, 0, time.UTC)},
	}
	found, err := FindClientSecret(secrets, "MiCollab", presence.NewSecret("k3B8Q~abcdefgh"))
	fmt.Println(found.KeyID, "ends on", found.ExpiresAt.Format(time.DateOnly), err)

	_, err = FindClientSecret(secrets, "MiCollab", presence.NewSecret("q9Z8Q~abcdefgh"))
	fmt.Println(errors.Is(err, ErrSecretNotFound))
	// Output:
	// 2 ends on 2027-06-30 <nil>
	// true
}

func TestFindClientSecret(t *testing.T) {
	secret := func(id, description, hint string, end float64) ClientSecret {
		return ClientSecret{KeyID: id, Description: description, Hint: hint, ExpiresAt: at(end)}
	}
	const value = "abc8Q~hidden"
	tests := []struct {
		name        string
		secrets     []ClientSecret
		description string
		value       string
		want        string
		err         error
	}{
		{name: "there is none", description: "MiCollab", value: value, err: ErrSecretNotFound},
		{name: "by both", secrets: []ClientSecret{secret("1", "other", "xyz", 1), secret("2", "MiCollab", "abc", 2)}, description: "MiCollab", value: value, want: "2"},
		{name: "a description written differently", secrets: []ClientSecret{secret("1", " micollab", "", 1)}, description: "MiCollab ", value: value, want: "1"},
		{name: "one description for all", secrets: []ClientSecret{secret("1", "MiCollab", "xyz", 1), secret("2", "MiCollab", "abc", 2)}, description: "MiCollab", value: value, want: "2"},
		{name: "one hint for two", secrets: []ClientSecret{secret("1", "MiCollab", "abc", 2), secret("2", "other", "abc", 1)}, description: "MiCollab", value: value, want: "1"},
		{name: "another description", secrets: []ClientSecret{secret("1", "other", "abc", 2), secret("2", "more", "xyz", 2)}, description: "MiCollab", value: value, want: "1"},
		{name: "no description", secrets: []ClientSecret{secret("1", "", "abc", 2), secret("2", "", "xyz", 2)}, value: value, want: "1"},
		{name: "the value is unknown", secrets: []ClientSecret{secret("1", "MiCollab", "xyz", 2), secret("2", "other", "abc", 2)}, description: "MiCollab", want: "1"},
		{name: "the hint is unknown", secrets: []ClientSecret{secret("1", "MiCollab", "", 2), secret("2", "other", "xyz", 2)}, description: "MiCollab", value: value, want: "1"},
		{name: "a right hint is better than a name without one", secrets: []ClientSecret{secret("1", "MiCollab", "", 2), secret("2", "other", "abc", 1)}, description: "MiCollab", value: value, want: "2"},
		{name: "replaced under the same description", secrets: []ClientSecret{secret("1", "MiCollab", "xyz", 2)}, description: "MiCollab", value: value, err: ErrSecretNotFound},
		{name: "deleted", secrets: []ClientSecret{secret("1", "other", "", 2)}, description: "MiCollab", value: value, err: ErrSecretNotFound},
		{name: "an empty description describes nothing", secrets: []ClientSecret{secret("1", " ", "", 2)}, value: value, err: ErrSecretNotFound},
		{name: "a value shorter than the hint", secrets: []ClientSecret{secret("1", "", "abc", 2)}, value: "ab", err: ErrSecretNotFound},
		{name: "nothing to look for", secrets: []ClientSecret{secret("1", "MiCollab", "abc", 2)}, err: ErrSecretNotFound},
		{name: "several of one description and hint", secrets: []ClientSecret{secret("1", "MiCollab", "abc", 2), secret("2", "MiCollab", "abc", 1), secret("3", "other", "abc", 0)}, description: "MiCollab", value: value, want: "2", err: ErrSecretAmbiguous},
		{name: "several of one hint, by other names", secrets: []ClientSecret{secret("1", "", "abc", 2), secret("2", "", "abc", 1)}, description: "MiCollab", value: value, want: "2", err: ErrSecretAmbiguous},
		{name: "several of one description, without hints", secrets: []ClientSecret{secret("1", "MiCollab", "", 1), secret("2", "MiCollab", "", 2)}, description: "MiCollab", value: value, want: "1", err: ErrSecretAmbiguous},
		{name: "several that end together", secrets: []ClientSecret{secret("2", "MiCollab", "", 1), secret("1", "MiCollab", "", 1)}, description: "MiCollab", value: value, want: "1", err: ErrSecretAmbiguous},
		{name: "several, one with an unknown end", secrets: []ClientSecret{{KeyID: "1", Description: "MiCollab"}, secret("2", "MiCollab", "", 1)}, description: "MiCollab", value: value, want: "2", err: ErrSecretAmbiguous},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			found, err := FindClientSecret(test.secrets, test.description, presence.NewSecret(test.value))
			assert.Equal(t, test.want, found.KeyID)
			if test.err == nil {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, test.err)
			assert.NotContains(t, err.Error(), "abc", "the beginning of a secret is part of it")
			var fault *SecretError
			require.ErrorAs(t, err, &fault)
			assert.ErrorContains(t, err, fault.Remedy())
			for _, id := range slices.Concat(fault.Possible, fault.Described) {
				if len(fault.Possible) == 0 || slices.Contains(fault.Possible, id) {
					assert.ErrorContains(t, err, id)
				}
			}
		})
	}
}

func TestFindClientSecretNeverReturnsOneWithAnotherHint(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SampledFrom([]string{"", "abc", "abd", "MiCollab", "micollab"})
		var secrets []ClientSecret
		for i := range rapid.IntRange(0, 5).Draw(t, "secrets") {
			secrets = append(secrets, ClientSecret{
				KeyID: fmt.Sprint(i), Description: words.Draw(t, "description"), Hint: words.Draw(t, "hint"), ExpiresAt: at(float64(rapid.IntRange(0, 3).Draw(t, "end"))),
			})
		}
		description, value := words.Draw(t, "looked for"), words.Draw(t, "value")
		found, err := FindClientSecret(secrets, description, presence.NewSecret(value))
		other, otherErr := FindClientSecret(rapid.Permutation(secrets).Draw(t, "order"), description, presence.NewSecret(value))
		assert.Equal(t, found, other, "the order does not matter")
		assert.Equal(t, errors.Is(err, ErrSecretAmbiguous), errors.Is(otherErr, ErrSecretAmbiguous))
		if errors.Is(err, ErrSecretNotFound) {
			assert.Empty(t, found)
			for _, s := range secrets {
				assert.False(t, value != "" && s.Hint == value, "%s has the right hint", s.KeyID)
			}
			return
		}
		assert.Contains(t, secrets, found)
		if value != "" {
			assert.Contains(t, []string{"", value}, found.Hint)
		}
		var fault *SecretError
		if errors.As(err, &fault) {
			for _, s := range secrets {
				if slices.Contains(fault.Possible, s.KeyID) {
					assert.False(t, s.ExpiresAt.Before(found.ExpiresAt), "%s ends earlier", s.KeyID)
				}
			}
		}
	})
}

func TestWarningAt(t *testing.T) {
	const day = 24 * time.Hour
	before := func(d time.Duration) time.Time { return noon.Add(-d) }
	expired := secretWarning{Due: true}
	tests := []struct {
		name       string
		now        time.Time
		thresholds []time.Duration
		want       secretWarning
	}{
		{"long before", before(700 * day), nil, secretWarning{Next: before(60 * day)}},
		{"just before the first", before(60*day + 1), nil, secretWarning{Next: before(60 * day)}},
		{"the first", before(60 * day), nil, secretWarning{true, 60 * day, before(30 * day)}},
		{"the second", before(30 * day), nil, secretWarning{true, 30 * day, before(7 * day)}},
		{"between two", before(8 * day), nil, secretWarning{true, 30 * day, before(7 * day)}},
		{"the third", before(7 * day), nil, secretWarning{true, 7 * day, before(day)}},
		{"the last", before(day), nil, secretWarning{true, day, noon}},
		{"just before the end", before(1), nil, secretWarning{true, day, noon}},
		{"the end", noon, nil, expired},
		{"long after", noon.Add(700 * day), nil, expired},
		{"no thresholds", before(day), []time.Duration{}, secretWarning{Next: noon}},
		{"no thresholds, expired", noon, []time.Duration{}, expired},
		{"in any order, and pointless ones", before(3 * day), []time.Duration{2 * day, 0, 9 * day, -day, 5 * day, 9 * day}, secretWarning{true, 5 * day, before(2 * day)}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			assert.Equal(t, test.want, warningAt(noon, test.now, test.thresholds))
		})
	}
	assert.Zero(t, warningAt(time.Time{}, noon, nil), "an unknown end")
}

// TestWarningsFollowEachOther walks from one warning to the next, as a pool does.
func TestWarningsFollowEachOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hours := rapid.SliceOf(rapid.Custom(func(t *rapid.T) time.Duration {
			return time.Duration(rapid.IntRange(-5, 50).Draw(t, "hours")) * time.Hour
		}))
		thresholds := append([]time.Duration{}, hours.Draw(t, "thresholds")...)
		var want []time.Duration
		for _, threshold := range thresholds {
			want = append(want, max(threshold, 0))
		}
		slices.Sort(want)
		want = slices.Compact(append([]time.Duration{0}, want...))
		slices.Reverse(want)

		var reached []time.Duration
		now := noon.Add(-51 * time.Hour)
		for range len(want) + 1 {
			w := warningAt(noon, now, thresholds)
			assert.Equal(t, w, warningAt(noon, now.Add(time.Nanosecond), thresholds), "nothing happens before the next")
			if w.Due {
				reached = append(reached, w.Reached)
			}
			if w.Next.IsZero() {
				break
			}
			assert.True(t, w.Next.After(now))
			now = w.Next
		}
		assert.Equal(t, want, reached)
	})
}
