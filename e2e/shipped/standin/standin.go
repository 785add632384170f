// Package standin makes local stand-ins for the images that the repository's Dockerfile and compose
// file name, from what this machine has, so that both can be tried as they are without a registry.
package standin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"

	"gitlab.com/ecr2gitlab/ecr2gitlab/e2e/world/engine"
)

// Maker makes stand-ins in one engine.
type Maker struct {
	Engine *engine.Engine
	Module string // folder of the Go module that the golang image is to build offline
}

// image is what a stand-in consists of: its files, and the instructions of a Dockerfile that
// configure it.
type image struct {
	fill    func(context.Context, *tree) error
	changes []string
}

// family returns how images of that repository are made, nil for one that has no stand-in.
func (m Maker) family(repository string) *image {
	switch repository {
	case "alpine":
		return &image{fill: fillAlpine, changes: []string{`CMD ["/bin/sh"]`}}
	case "golang":
		return m.golang()
	case "docker":
		return dind(engine.Containerd)
	}
	return nil
}

// MakeEngine makes a stand-in for docker:dind under that name, with an engine of that kind.
func (m Maker) MakeEngine(ctx context.Context, name string, kind engine.Kind) error {
	if err := m.build(ctx, name, "", dind(kind)); err != nil {
		return fmt.Errorf("stand-in for %s: %w", name, err)
	}
	return nil
}

// reference is where a Dockerfile or a compose file names an official image with a tag.
type reference struct {
	name, repository string
	fixed            bool // to one platform, whichever is built for
}

var pattern = regexp.MustCompile(`(?m)^\s*(?:FROM(?: +(--platform=\S+))?|image:) +(([a-z0-9]+):[\w.-]+)`)

func references(text string) (all []reference) {
	for _, match := range pattern.FindAllStringSubmatch(text, -1) {
		all = append(all, reference{name: match[2], repository: match[3], fixed: match[1] != ""})
	}
	return all
}

// Make makes stand-ins, under the very names that the files use, for all official images that they
// name with a tag.
func (m Maker) Make(ctx context.Context, files ...string) error {
	return m.make(ctx, "", files)
}

// MakeFor replaces stand-ins by ones for another platform, say linux/arm64: those that a Dockerfile
// builds upon for any platform. The files in them are this machine's all the same: they can be built
// upon, but not run.
func (m Maker) MakeFor(ctx context.Context, platform string, files ...string) error {
	return m.make(ctx, platform, files)
}

func (m Maker) make(ctx context.Context, platform string, files []string) error {
	made := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		for _, ref := range references(string(text)) {
			if made[ref.name] || (platform != "" && ref.fixed) {
				continue
			}
			made[ref.name] = true
			if err := m.build(ctx, ref.name, platform, m.family(ref.repository)); err != nil {
				return fmt.Errorf("stand-in for %s, which %s names: %w", ref.name, file, err)
			}
		}
	}
	return nil
}

// build imports the image's files into the engine, as docker import takes them: a tar archive.
func (m Maker) build(ctx context.Context, name, platform string, from *image) error {
	if from == nil {
		return errors.New("there is none")
	}
	args := []string{"import"}
	if platform != "" {
		args = append(args, "--platform", platform)
	}
	for _, change := range from.changes {
		args = append(args, "--change", change)
	}
	cmd, err := m.Engine.Command(ctx, append(args, "-", name)...)
	if err != nil {
		return err
	}
	archive, w := io.Pipe()
	go func() { w.CloseWithError(writeTree(ctx, w, from.fill)) }()
	cmd.Stdin = archive
	out, err := cmd.CombinedOutput()
	if err != nil {
		return errors.Join(fmt.Errorf("docker import: %w: %s", err, out), archive.CloseWithError(err))
	}
	return nil
}
