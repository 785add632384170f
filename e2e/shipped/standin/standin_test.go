package standin

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestReferences(t *testing.T) {
	golang := reference{name: "golang:1.26.8-alpine3.24", repository: "golang", fixed: true}
	alpine := reference{name: "alpine:3.24.1", repository: "alpine"}
	tests := map[string]struct {
		text string
		want []reference
	}{
		"Dockerfile": {"FROM --platform=$BUILDPLATFORM golang:1.26.8-alpine3.24 AS build\n" +
			"RUN echo alpine:1 # FROM alpine:2\nFROM alpine:3.24.1\nCOPY --from=build /a /b\n", []reference{golang, alpine}},
		"compose":         {"services:\n  docker:\n    image: docker:29-dind\n", []reference{{name: "docker:29-dind", repository: "docker"}}},
		"built here":      {"services:\n  migrate:\n    image: ecr2gitlab\n", nil},
		"of another host": {"FROM registry.example/alpine:3\n", nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := references(tt.text); !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestMakeNeedsAStandIn(t *testing.T) {
	file := filepath.Join(t.TempDir(), "Dockerfile")
	if err := os.WriteFile(file, []byte("FROM debian:12\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	err := Maker{}.Make(t.Context(), file)
	want := "stand-in for debian:12, which " + file + " names: there is none"
	if err == nil || err.Error() != want {
		t.Errorf("error %v, want %q", err, want)
	}
}
