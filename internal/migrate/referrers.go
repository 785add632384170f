package migrate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sort"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// referrersTag is the tag that clients look for where a registry has no referrers API, as GitLab's has none
// (OCI distribution specification 1.1, "Referrers Tag Schema").
func referrersTag(subject digest.Digest) string {
	return subject.Algorithm().String() + "-" + subject.Encoded()
}

// bringReferrers brings what refers to the image, after the image. The referrers of one subject are listed in an index
// under the subject's referrers tag: there clients find them, and GitLab's garbage collection sees them in use.
func (c *copier) bringReferrers(ctx context.Context, t *task) []Result {
	var results []Result
	for _, subject := range t.subjects() {
		results = append(results, c.bringReferrersOf(ctx, t, subject))
	}
	return results
}

// subjects returns those that have referrers: what the image holds first, their referrers' own after them.
func (t *task) subjects() []digest.Digest {
	var ordered []digest.Digest
	seen := map[digest.Digest]bool{}
	queue := []Tree{t.tree}
	for len(queue) > 0 {
		for _, manifest := range queue[0].Manifests() {
			referrers := t.referrers[manifest.Digest]
			if len(referrers) == 0 || seen[manifest.Digest] {
				continue
			}
			seen[manifest.Digest] = true
			ordered = append(ordered, manifest.Digest)
			queue = append(queue, referrers...)
		}
		queue = queue[1:]
	}
	return ordered
}

func (c *copier) bringReferrersOf(ctx context.Context, t *task, subject digest.Digest) Result {
	referrers := t.referrers[subject]
	result := Result{
		Repository: t.image.Repository.Name,
		Tag:        referrersTag(subject),
		Referrers:  len(referrers),
		Subject:    subject,
		Target:     t.tagged(referrersTag(subject)),
	}
	if c.store == ClassicStore {
		result.Outcome, result.Err = Refused, errors.New("the classic image store cannot carry signatures and other referrers: "+classicRemedy)
		return result
	}
	tree, err := referrersIndex(referrers)
	if err != nil {
		return result.failed(failedAt(StepPlan, result.Target, err))
	}
	result.Source = tree.Root.Digest
	return c.pushReferrers(ctx, t, result, tree)
}

// pushReferrers never replaces what the target already lists: referrers that were added there would be lost.
func (c *copier) pushReferrers(ctx context.Context, t *task, result Result, tree Tree) Result {
	resolved, err := c.engine.Resolve(ctx, result.Target)
	switch {
	case err == nil && resolved.Digest == tree.Root.Digest:
		result.Pushed, result.Outcome = resolved.Digest, Present
		return result
	case err == nil:
		return result.failed(failedAt(StepVerify, result.Target, errors.New("the target lists other referrers under this tag, "+
			"and they are left alone: delete the tag in GitLab to have ECR's, or add ECR's with cosign or oras")))
	}
	w := c.workspace(t.image.Repository)
	defer w.clear(ctx)
	if err := w.bring(ctx, tree, []string{result.Target}); err != nil {
		return result.failed(err)
	}
	pushed, err := c.engine.Push(ctx, result.Target)
	if err != nil {
		return result.failed(failedAt(StepPush, result.Target, err))
	}
	return c.verify(ctx, result, pushed, tree.Root.Digest, Exact)
}

// referrersIndex makes the index of the referrers tag schema. The same referrers make the same bytes.
func referrersIndex(referrers []Tree) (Tree, error) {
	sort.Slice(referrers, func(i, j int) bool { return referrers[i].Root.Digest < referrers[j].Root.Digest })
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	below := map[digest.Digest]Manifest{}
	for _, referrer := range referrers {
		index.Manifests = append(index.Manifests, referrer.Root.asReferrer())
		for _, manifest := range referrer.Manifests() {
			below[manifest.Digest] = manifest
		}
	}
	raw, err := json.Marshal(index)
	if err != nil {
		return Tree{}, fmt.Errorf("index of referrers: %w", err)
	}
	root, err := ParseManifest(raw, ocispec.MediaTypeImageIndex)
	if err != nil {
		return Tree{}, err
	}
	return NewTree(root, below), nil
}

// asReferrer is the descriptor that the specification asks for: with the artifact type, which is the config's media
// type where the manifest has none, and the manifest's annotations.
func (m Manifest) asReferrer() ocispec.Descriptor {
	d := m.Descriptor
	if d.ArtifactType == "" {
		d.ArtifactType = m.Config.MediaType
	}
	return d
}
