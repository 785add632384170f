// Package corpus creates the images of the test world from real files, so that they compress and unpack like real
// images: an account of plausible repositories, and images of every shape.
//
// Everything is deterministic on one machine: two calls produce the same bytes as long as the machine's files stay the
// same. Nothing is random.
package corpus

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Object is what a tag points to: a v1.Image or a v1.ImageIndex.
type Object interface {
	remote.Taggable
	partial.Describable
}

// Image is one object with all its tags. Without tags, it is available only by digest.
type Image struct {
	Tags   []string
	Object Object
}

// Repository is a repository of the account and the images in it, oldest first.
type Repository struct {
	Name   string
	Images []Image
}

// Tags maps each tag to its digest.
func (r Repository) Tags() (map[string]v1.Hash, error) {
	tags := map[string]v1.Hash{}
	for _, image := range r.Images {
		digest, err := image.Object.Digest()
		if err != nil {
			return nil, fmt.Errorf("repository %s: %w", r.Name, err)
		}
		for _, tag := range image.Tags {
			tags[tag] = digest
		}
	}
	return tags, nil
}

// Push uploads every image to repo, which must exist unless the registry creates repositories on push. A nil auth is
// anonymous.
func (r Repository) Push(ctx context.Context, repo name.Repository, auth authn.Authenticator) error {
	p, err := newPusher(repo, auth)
	if err != nil {
		return err
	}
	for _, image := range r.Images {
		if err := p.push(ctx, image.Object, image.Tags); err != nil {
			return err
		}
	}
	return nil
}

// Classic describes how an engine with the classic image store handles a shape.
type Classic string

// Carries means that pull, tag and push copy the complete image, with another digest. Refuses means that the pull
// fails, or that part of the image is silently lost.
const (
	Carries Classic = "carries"
	Refuses Classic = "refuses"
)

// Shape is one kind of content that a registry can hold.
type Shape struct {
	Name       string // describes what is special
	Repository string // at most two levels deep; some shapes share one
	Tags       []string
	Classic    Classic // for Object, whatever its referrers
	Object     Object
	Referrers  []Object // untagged manifests whose subject is Object or one of its children

	// Kept makes Push upload foreign layers, which are otherwise left at their URLs.
	Kept bool
}

// Digest returns the digest of the tag, or an error if the shape has no such tag.
func (s Shape) Digest(tag string) (v1.Hash, error) {
	if !slices.Contains(s.Tags, tag) {
		return v1.Hash{}, fmt.Errorf("shape %q has no tag %q", s.Name, tag)
	}
	return s.Object.Digest()
}

// Push uploads the object under each tag, children first, then the referrers by their digests.
// A nil auth is anonymous.
func (s Shape) Push(ctx context.Context, repo name.Repository, auth authn.Authenticator) error {
	var options []remote.Option
	if s.Kept {
		options = append(options, remote.WithNondistributable)
	}
	p, err := newPusher(repo, auth, options...)
	if err != nil {
		return err
	}
	if err := p.push(ctx, s.Object, s.Tags); err != nil {
		return err
	}
	for _, referrer := range s.Referrers {
		if err := p.push(ctx, referrer, nil); err != nil {
			return err
		}
	}
	return nil
}
