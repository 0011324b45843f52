package simulator

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// FuzzControl: whatever is sent, the answer is JSON, it is a refusal with a
// sentence or a success, and the simulator goes on.
func FuzzControl(f *testing.F) {
	var paths []string
	for _, c := range commands() {
		if c.Method != http.MethodPost {
			continue
		}
		for _, example := range c.Examples {
			f.Add(uint8(len(paths)), []byte(example))
		}
		paths = append(paths, c.Path)
	}
	for _, body := range []string{``, `{`, `null`, `{"user": null}`, `{"service": "graph", "path": "[", "status": 1e3}`, `{"user": "2001", "preferred": {"availability": "\u0000"}}`} {
		f.Add(uint8(0), []byte(body))
		f.Add(uint8(3), []byte(body))
	}
	s, err := Start(Options{})
	require.NoError(f, err)
	f.Cleanup(s.Close)
	f.Fuzz(func(t *testing.T, which uint8, body []byte) {
		r := httptest.NewRequest(http.MethodPost, paths[int(which)%len(paths)], bytes.NewReader(body))
		w := httptest.NewRecorder()
		s.serveControl(w, r)
		var answer map[string]any
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &answer))
		if w.Code != http.StatusOK {
			assert.Equal(t, http.StatusBadRequest, w.Code)
			assert.NotEmpty(t, answer["error"])
		}
		s.graph.ClearControls()
		s.cloud.ClearControls()
		s.faults.clear("")
	})
}

// FuzzBlankBody: a value under a secret's name is never shown, wherever it stands.
func FuzzBlankBody(f *testing.F) {
	f.Add("application/json", []byte(`{"a": [{"password": "hush"}], "clientState": {"x": 1}}`))
	f.Add("application/x-www-form-urlencoded; charset=utf-8", []byte("grant_type=password&p%61ssword=hush"))
	f.Add("text/plain", []byte("hush"))
	f.Add("", []byte(`{"refresh_token":"hush"} trailing`))
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		_ = blankBody(contentType, body)
		wrapped, err := json.Marshal(map[string]any{"outer": []any{map[string]string{"Client_Secret": "hush-hush"}}, "text": string(body)})
		require.NoError(t, err)
		if !bytes.Contains(body, []byte("hush-hush")) {
			assert.NotContains(t, blankBody("application/json", wrapped), "hush-hush")
			assert.NotContains(t, blankForm("a="+"b&client_secret=hush-hush"), "hush-hush")
		}
	})
}
