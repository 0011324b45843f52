package verify

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestWordsOfTimesAndNumbers(t *testing.T) {
	f := &facts{startedAt: time.Date(2026, 3, 31, 12, 0, 0, 0, time.UTC)}
	for before, want := range map[time.Duration]string{
		-time.Hour: "just now", 59 * time.Second: "just now", time.Minute: "1 minute ago", 59 * time.Minute: "59 minutes ago",
		time.Hour: "1 hour ago", 47 * time.Hour: "47 hours ago", 48 * time.Hour: "2 days ago", 1000 * time.Hour: "41 days ago",
	} {
		assert.Equal(t, want, ago(f, f.startedAt.Add(-before)))
	}
	assert.Equal(t, "never", ago(f, time.Time{}))
	assert.Equal(t, "2026-03-31", date(time.Date(2026, 4, 1, 1, 0, 0, 0, time.FixedZone("", 2*60*60))))
	assert.Empty(t, date(time.Time{}))
	for wait, want := range map[time.Duration]string{
		time.Millisecond: "1 second", 90 * time.Second: "90 seconds", 91 * time.Second: "2 minutes", time.Hour: "60 minutes",
	} {
		assert.Equal(t, want, waiting(wait))
	}
	assert.Equal(t, "Check the region.", asSentence(" check the region. "))
	assert.Equal(t, "Ändern.", asSentence("ändern"))
	assert.Empty(t, asSentence(""))
	assert.Empty(t, names(nil))
	assert.Equal(t, "ada, bob", names([]string{"ada", "bob"}))
}
