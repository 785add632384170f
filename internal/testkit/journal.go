package testkit

import (
	"context"
	"maps"
	"sync"
)

// Journal is a journal in memory.
type Journal struct {
	mu     sync.Mutex
	notes  map[string]string
	Before func() error // called before every call, which ends with its error; nil: none
}

func (j *Journal) begin() error {
	if j.Before == nil {
		return nil
	}
	return j.Before()
}

// Notes implements that method of transfer.Journal.
func (j *Journal) Notes(context.Context) (map[string]string, error) {
	err := j.begin()
	j.mu.Lock()
	defer j.mu.Unlock()
	return maps.Clone(j.notes), err
}

// Write implements that method of transfer.Journal.
func (j *Journal) Write(_ context.Context, name, text string) error {
	if err := j.begin(); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.notes == nil {
		j.notes = map[string]string{}
	}
	j.notes[name] = text
	return nil
}

// Erase implements that method of transfer.Journal.
func (j *Journal) Erase(_ context.Context, name string) error {
	if err := j.begin(); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.notes, name)
	return nil
}
