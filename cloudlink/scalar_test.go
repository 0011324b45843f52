package cloudlink

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestScalarsTakeEveryForm(t *testing.T) {
	at := time.Unix(1591690894, 0).UTC()
	for _, tt := range []struct {
		json    string
		text    string
		flag    bool
		number  int64
		instant time.Time
	}{
		{`"false"`, "false", false, 0, time.Time{}},
		{`false`, "false", false, 0, time.Time{}},
		{`"true"`, "true", true, 0, time.Time{}},
		{`" True "`, " True ", true, 0, time.Time{}},
		{`true`, "true", true, 0, time.Time{}},
		{`1`, "1", true, 1, time.Unix(1, 0).UTC()},
		{`null`, "", false, 0, time.Time{}},
		{`""`, "", false, 0, time.Time{}},
		{`{}`, "", false, 0, time.Time{}},
		{`["true"]`, "", false, 0, time.Time{}},
		{`"1591690894"`, "1591690894", false, 1591690894, at},
		{`1591690894`, "1591690894", false, 1591690894, at},
		{`1591690894000`, "1591690894000", false, 1591690894000, at},
		{`1.591690894e9`, "1.591690894e9", false, 1591690894, at},
		{`"2020-06-09T08:21:34Z"`, "2020-06-09T08:21:34Z", false, 0, at},
		{`-5`, "-5", false, -5, time.Time{}},
		{`1e99`, "1e99", false, 0, time.Time{}},
	} {
		var got struct {
			T text
			F flag
			N number
			I instant
		}
		require.NoError(t, json.Unmarshal([]byte(`{"t":`+tt.json+`,"f":`+tt.json+`,"n":`+tt.json+`,"i":`+tt.json+`}`), &got), tt.json)
		assert.Equal(t, tt.text, string(got.T), tt.json)
		assert.Equal(t, tt.flag, bool(got.F), tt.json)
		assert.Equal(t, tt.number, int64(got.N), tt.json)
		assert.Equal(t, tt.instant, got.I.Time, tt.json)
	}
}
