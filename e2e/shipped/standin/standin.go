// Package standin creates local stand-ins for the images that the repository's Dockerfile and compose file use, from
// this machine's files, so that both can be tested unchanged without a registry.
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

// Maker creates stand-ins in one engine.
type Maker struct {
	Engine *engine.Engine
	Module string // folder of the Go module that the golang image must build offline

	// PublicCA is a certificate in PEM that all stand-ins trust besides this machine's, because the real images trust the
	// public CAs. The Dockerfile copies it from the golang image into the job image.
	PublicCA []byte
}

// image describes a stand-in: its files, and the Dockerfile instructions that configure it.
type image struct {
	fill    func(context.Context, *tree) error
	changes []string
}

// family returns the function that creates images of that repository, or nil if there is no stand-in.
func (m Maker) family(repository string) *image {
	switch repository {
	case "alpine":
		return &image{fill: m.fillAlpine, changes: []string{`CMD ["/bin/sh"]`}}
	case "golang":
		return m.golang()
	case "docker":
		return m.dind(engine.Containerd)
	}
	return nil
}

// MakeEngine creates a stand-in for docker:dind under that name, with an engine of that kind.
func (m Maker) MakeEngine(ctx context.Context, name string, kind engine.Kind) error {
	if err := m.build(ctx, name, "", m.dind(kind)); err != nil {
		return fmt.Errorf("stand-in for %s: %w", name, err)
	}
	return nil
}

// reference matches an official image with a tag in a Dockerfile or a compose file.
type reference struct {
	name, repository string
	fixed            bool // to one platform, whatever the target platform
}

var pattern = regexp.MustCompile(`(?m)^\s*(?:FROM(?: +(--platform=\S+))?|image:) +(([a-z0-9]+):[\w.-]+)`)

func references(text string) (all []reference) {
	for _, match := range pattern.FindAllStringSubmatch(text, -1) {
		all = append(all, reference{name: match[2], repository: match[3], fixed: match[1] != ""})
	}
	return all
}

// Make creates stand-ins, under the exact names in the files, for all official images with a tag that the files use.
func (m Maker) Make(ctx context.Context, files ...string) error {
	return m.make(ctx, "", files)
}

// MakeFor replaces stand-ins with ones for another platform, such as linux/arm64: those that a Dockerfile uses as the
// base for any platform. Their files are still this machine's: images can be built from them, but not run.
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

// build imports the image's files into the engine with docker import, as a tar archive.
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
