package docker

import (
	"context"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"
)

// journalLabel is the label with the text of a note. RFC 2606 reserves its domain, so nobody else's volume has it.
const journalLabel = "invalid.ecr2gitlab.note"

// Journal keeps notes in the engine, where a later run finds them even if this one is killed and another machine runs the
// next. Each note is an empty volume with a label: both image stores have volumes, and no list of images shows them.
type Journal struct{ Client *client.Client }

// Notes returns the text of each note by its name.
func (j Journal) Notes(ctx context.Context) (map[string]string, error) {
	found, err := j.Client.VolumeList(ctx, volume.ListOptions{Filters: filters.NewArgs(filters.Arg("label", journalLabel))})
	if err != nil {
		return nil, Classify(err)
	}
	notes := make(map[string]string, len(found.Volumes))
	for _, v := range found.Volumes {
		notes[v.Name] = v.Labels[journalLabel]
	}
	return notes, nil
}

// Write adds a note.
func (j Journal) Write(ctx context.Context, name, text string) error {
	_, err := j.Client.VolumeCreate(ctx, volume.CreateOptions{Name: name, Labels: map[string]string{journalLabel: text}})
	return Classify(err)
}

// Erase removes a note. An unknown one is not an error.
func (j Journal) Erase(ctx context.Context, name string) error {
	err := j.Client.VolumeRemove(ctx, name, true)
	if cerrdefs.IsNotFound(err) {
		return nil
	}
	return Classify(err)
}
