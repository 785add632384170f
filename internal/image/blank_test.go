package image_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit"
)

func TestBlankForContainerd(t *testing.T) {
	const name = "registry.example.com/app@sha256:6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"
	archive, err := image.Blank(image.ContainerdStore, name)
	if err != nil {
		t.Fatal(err)
	}
	layout, err := testkit.ReadLayout(bytes.NewReader(archive))
	if err != nil || !slices.Equal(layout.Names, []string{name}) {
		t.Fatalf("names %q, error %v", layout.Names, err)
	}
	for _, m := range layout.Manifests {
		if m.Config.Digest == "" {
			continue // the config, which the reader takes for a manifest
		}
		for _, blob := range m.Blobs() {
			if layout.Files["blobs/sha256/"+blob.Digest.Encoded()] == nil {
				t.Errorf("the archive lacks %s", blob.Digest)
			}
		}
	}
}

func TestBlankForClassic(t *testing.T) {
	archive, err := image.Blank(image.ClassicStore, "ecr2gitlab.invalid/blank:1")
	if err != nil {
		t.Fatal(err)
	}
	layout, err := testkit.ReadLayout(bytes.NewReader(archive))
	if err != nil || !slices.Equal(layout.Names, []string{"ecr2gitlab.invalid/blank:1"}) {
		t.Fatalf("names %q, error %v", layout.Names, err)
	}
	var config struct {
		RootFS *struct {
			Type    string
			DiffIDs []string `json:"diff_ids"`
		}
	}
	if err := json.Unmarshal(layout.Files["config.json"], &config); err != nil || config.RootFS == nil || len(config.RootFS.DiffIDs) > 0 {
		t.Errorf("config %+v, error %v", config, err)
	}
}
