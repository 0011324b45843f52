package graphtest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// maxBatch is how many requests one batch may hold
// (learn.microsoft.com/graph/json-batching).
const maxBatch = 20

type batchRequest struct {
	ID        string            `json:"id"`
	Method    string            `json:"method"`
	URL       string            `json:"url"`
	Headers   map[string]string `json:"headers"`
	Body      json.RawMessage   `json:"body"`
	DependsOn []string          `json:"dependsOn"`
}

type batchResponse struct {
	ID      string            `json:"id"`
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers,omitempty"`
	Body    any               `json:"body,omitempty"`
}

// batch answers several requests in one. Each is authorized and throttled for
// itself, so that a batch of 200 may hold answers of 429; one whose
// prerequisite failed is answered 424.
func (s *Server) batch(c *call) (int, any, *graphFault) {
	var envelope struct{ Requests []batchRequest }
	if f := c.decode(&envelope); f != nil {
		return 0, nil, f
	}
	if f := checkBatch(envelope.Requests); f != nil {
		return 0, nil, f
	}
	responses := make([]batchResponse, 0, len(envelope.Requests))
	status := make(map[string]int, len(envelope.Requests))
	for _, request := range envelope.Requests {
		response := batchResponse{ID: request.ID}
		failed := false
		for _, id := range request.DependsOn {
			failed = failed || status[id] >= http.StatusBadRequest
		}
		if failed {
			response.Status = http.StatusFailedDependency
			response.Body = map[string]any{"error": map[string]string{"code": "FailedDependency", "message": "One or more of the requests that this request depends on failed."}}
		} else {
			response = s.batchOne(c, request)
		}
		status[request.ID] = response.Status
		responses = append(responses, response)
	}
	return http.StatusOK, map[string]any{"responses": responses}, nil
}

// checkBatch refuses an envelope that cannot be worked through in its order.
func checkBatch(requests []batchRequest) *graphFault {
	if len(requests) == 0 || len(requests) > maxBatch {
		return badRequest("A batch must hold between 1 and %d requests.", maxBatch)
	}
	seen := make(map[string]bool, len(requests))
	for _, request := range requests {
		if request.ID == "" || seen[request.ID] {
			return badRequest("Every request of a batch needs an id of its own.")
		}
		if request.Method == "" || request.URL == "" {
			return badRequest("Request '%s' needs a method and a url.", request.ID)
		}
		if len(request.Body) > 0 && !hasHeader(request.Headers, "Content-Type") {
			return badRequest("Request '%s' has a body and needs a Content-Type header.", request.ID)
		}
		if path, _, _ := strings.Cut(request.URL, "?"); strings.EqualFold(strings.Trim(path, "/"), "$batch") {
			return badRequest("A batch cannot hold another one.")
		}
		for _, id := range request.DependsOn {
			if !seen[id] {
				return badRequest("Request '%s' depends on '%s', which does not come before it.", request.ID, id)
			}
		}
		seen[request.ID] = true
	}
	return nil
}

func hasHeader(headers map[string]string, name string) bool {
	for h := range headers {
		if strings.EqualFold(h, name) {
			return true
		}
	}
	return false
}

// batchOne runs one request of a batch as if it had come by itself, with the
// batch's own authorization.
func (s *Server) batchOne(c *call, request batchRequest) batchResponse {
	path, query, _ := strings.Cut(request.URL, "?")
	path = "/v1.0/" + strings.TrimPrefix(path, "/")
	r := &http.Request{
		Method: strings.ToUpper(request.Method), URL: &url.URL{Path: path, RawQuery: query}, Header: make(http.Header),
		Body: io.NopCloser(bytes.NewReader(request.Body)),
	}
	r = r.WithContext(c.r.Context())
	for name, value := range request.Headers {
		r.Header.Set(name, value)
	}
	if r.Header.Get("Authorization") == "" {
		r.Header.Set("Authorization", c.header.Get("Authorization"))
	}
	w := &memoryWriter{header: make(http.Header), status: http.StatusOK}
	s.serveGraph(w, r, path)
	response := batchResponse{ID: request.ID, Status: w.status, Headers: make(map[string]string, len(w.header))}
	for name := range w.header {
		response.Headers[name] = w.header.Get(name)
	}
	if body := bytes.TrimSpace(w.body.Bytes()); len(body) > 0 {
		if json.Valid(body) {
			response.Body = json.RawMessage(body)
		} else {
			response.Body = base64.StdEncoding.EncodeToString(body)
		}
	}
	return response
}

// memoryWriter keeps an answer.
type memoryWriter struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *memoryWriter) Header() http.Header         { return w.header }
func (w *memoryWriter) WriteHeader(status int)      { w.status = status }
func (w *memoryWriter) Write(b []byte) (int, error) { return w.body.Write(b) }
