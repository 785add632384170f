package docker

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"
)

// volumes answers like an engine that has volumes.
type volumes struct {
	mu   sync.Mutex
	held map[string]*volume.Volume
}

func (v *volumes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	name := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
	switch {
	case r.Method == http.MethodPost:
		var made volume.Volume
		_ = json.NewDecoder(r.Body).Decode(&made)
		v.held[made.Name] = &made
		_ = json.NewEncoder(w).Encode(made)
	case r.Method == http.MethodDelete && v.held[name] == nil:
		http.Error(w, `{"message":"no such volume"}`, http.StatusNotFound)
	case r.Method == http.MethodDelete:
		delete(v.held, name)
		w.WriteHeader(http.StatusNoContent)
	case r.URL.Query().Get("filters") != `{"label":{"invalid.ecr2gitlab.note":true}}`:
		http.Error(w, "which volumes?", http.StatusBadRequest)
	default:
		var answer volume.ListResponse
		for _, held := range v.held {
			answer.Volumes = append(answer.Volumes, held)
		}
		_ = json.NewEncoder(w).Encode(answer)
	}
}

func journalAt(t *testing.T, handler http.Handler) Journal {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	c, err := client.NewClientWithOpts(client.WithHost("tcp://"+server.Listener.Addr().String()), client.WithVersion("1.41"))
	if err != nil {
		t.Fatal(err)
	}
	return Journal{Client: c}
}

func TestJournal(t *testing.T) {
	j := journalAt(t, &volumes{held: map[string]*volume.Volume{}})
	for name, text := range map[string]string{"one": `{"a":1}`, "two": ""} {
		if err := j.Write(t.Context(), name, text); err != nil {
			t.Fatal(err)
		}
	}
	notes, err := j.Notes(t.Context())
	if err != nil || len(notes) != 2 || notes["one"] != `{"a":1}` {
		t.Errorf("notes %q, error %v", notes, err)
	}
	for range 2 {
		if err := j.Erase(t.Context(), "one"); err != nil {
			t.Error(err)
		}
	}
	if notes, err = j.Notes(t.Context()); err != nil || len(notes) != 1 {
		t.Errorf("notes %q, error %v", notes, err)
	}
}

func TestJournalRefused(t *testing.T) {
	j := journalAt(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, `{"message":"no space left on device"}`, http.StatusInternalServerError)
	}))
	if _, err := j.Notes(t.Context()); !errors.Is(err, ErrNoSpace) {
		t.Error(err)
	}
	if err := j.Write(t.Context(), "one", ""); !errors.Is(err, ErrNoSpace) {
		t.Error(err)
	}
	if err := j.Erase(t.Context(), "one"); !errors.Is(err, ErrNoSpace) {
		t.Error(err)
	}
}
