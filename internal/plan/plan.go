// Package plan decides what is copied and where to: it lists, filters, renames, shares and forecasts. It produces
// items, which do not change afterwards, and does not depend on an engine.
package plan

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"sync/atomic"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
)

// Resolver resolves references at the source registry.
type Resolver interface {
	Resolve(ctx context.Context, ref string) (image.Resolved, error)
}

// Planner turns what the source lists into items.
type Planner struct {
	Source   Source
	Resolver Resolver
	Store    image.Store
	Platform *ocispec.Platform
	LeaveOut Patterns // kinds of artifacts to remove from indexes and referrers; none: nothing is removed
	Namer    Namer
	Choice   Choice
	Catalog  *Catalog
	kept     atomic.Int64 // bytes of the manifests that items keep
	reads    atomic.Int64 // number of manifests read
}

// planPage is the number of images planned at a time, so that the manifests of a repository with tens of thousands of
// tags are never in memory all at once.
const planPage = 500

// keepManifests limits the manifests that items keep until they are copied, in bytes. It is enough for about two
// thousand images; in larger accounts, the other manifests are read again, with one call per image.
const keepManifests = 4 << 20

// repository plans all tagged images of one repository: the target of each, and whether it can arrive. What cannot is
// rejected here, before anything is copied. If the target's name is rejected, so are all of them.
func (p *Planner) repository(ctx context.Context, images []image.Image, target string, refusal error) []*Item {
	var items []*Item
	var refused []*Item
	for _, img := range images {
		valid, invalid := splitTags(img.Tags)
		if img.Tags = invalid; len(invalid) > 0 {
			refused = append(refused, &Item{Image: img, Root: p.known(img), Refusal: errTag}) // has no valid target
		}
		if img.Tags = valid; len(valid) > 0 {
			items = append(items, &Item{Image: img, Target: target, Root: p.known(img), Refusal: refusal})
		}
	}
	if refusal != nil || len(items) == 0 {
		return append(items, refused...)
	}
	bySubject := p.bySubject(ctx, images)
	for page := range slices.Chunk(items, planPage) {
		docs := p.read(ctx, page[0].Image.Repository, pullable(page))
		for _, i := range page {
			p.decide(ctx, i, docs, bySubject)
		}
	}
	p.follow(ctx, items, bySubject)
	return append(items, refused...)
}

// validTag is Docker's rule for tags. ECR allows up to 300 characters.
var validTag = regexp.MustCompile("^" + reference.TagRegexp.String() + "$")

var errTag = errors.New("a tag has at most 128 letters, digits, underscores, periods and hyphens in Docker, and does not " +
	"begin with a period or a hyphen: tag the image in ECR with another name")

// splitTags separates the tags that Docker accepts from the others.
func splitTags(tags []string) (valid, invalid []string) {
	for _, tag := range tags {
		if validTag.MatchString(tag) {
			valid = append(valid, tag)
		} else {
			invalid = append(invalid, tag)
		}
	}
	return valid, invalid
}

// known returns the digest of what to copy of an image, if it is known without reading the manifest: always, unless
// only a part of an index is requested.
func (p *Planner) known(img image.Image) digest.Digest {
	if (p.Platform != nil || len(p.LeaveOut) > 0) && image.IsIndex(img.MediaType) {
		return ""
	}
	return img.Digest
}

// pullable returns the images that the registry can deliver.
func pullable(items []*Item) []digest.Digest {
	var roots []digest.Digest
	for _, i := range items {
		if unpullable(i.Image) == nil {
			roots = append(roots, i.Image.Digest)
		}
	}
	return roots
}

// unpullable returns why an image cannot be pulled, as far as its listing shows.
func unpullable(img image.Image) error {
	switch {
	case img.Archived:
		return errors.New("the image is archived in ECR and cannot be pulled: restore it " +
			"(aws ecr update-image-storage-class --target-storage-class STANDARD), then run again")
	case image.IsSchema1(img.MediaType):
		return image.ErrSchema1
	}
	return nil
}

// documents holds manifests by digest, and the errors for those that could not be read.
type documents struct {
	read   map[digest.Digest]image.Manifest
	failed map[digest.Digest]error
}

// read is readManifests, and counts what was read.
func (p *Planner) read(ctx context.Context, repository image.Repository, roots []digest.Digest) documents {
	docs := readManifests(ctx, p.Source, repository, roots)
	p.reads.Add(int64(len(docs.read)))
	return docs
}

// readManifests reads the manifests of the roots and of everything below them, level by level.
func readManifests(ctx context.Context, source Source, repository image.Repository, roots []digest.Digest) documents {
	docs := documents{read: map[digest.Digest]image.Manifest{}, failed: map[digest.Digest]error{}}
	asked := map[digest.Digest]bool{}
	for wanted := roots; len(wanted) > 0; {
		got, failed := source.Manifests(ctx, repository, wanted)
		maps.Copy(docs.failed, failed)
		wanted = nil
		for d, manifest := range got {
			docs.read[d], asked[d] = manifest, true
		}
		for _, manifest := range got {
			for _, child := range manifest.Children {
				if !asked[child.Digest] {
					asked[child.Digest] = true
					wanted = append(wanted, child.Digest)
				}
			}
		}
	}
	return docs
}

// ReadTree reads the manifests of an item again. Its error is a *Failure if one of them cannot be read.
func ReadTree(ctx context.Context, source Source, i *Item) (image.Tree, error) {
	if i.List == nil {
		return readManifests(ctx, source, i.Image.Repository, []digest.Digest{i.Root}).tree(i.Root)
	}
	docs := readManifests(ctx, source, i.Image.Repository, i.List.Roots)
	trees := make([]image.Tree, len(i.List.Roots))
	for at, root := range i.List.Roots {
		var err error
		if trees[at], err = docs.tree(root); err != nil {
			return image.Tree{}, err
		}
	}
	return image.ReferrersIndex(trees)
}

// decide determines what to copy of the item's image, or why nothing can be copied. bySubject has the repository's
// referrers; nil: there are none.
func (p *Planner) decide(ctx context.Context, i *Item, docs documents, bySubject map[digest.Digest]*referrers) {
	if i.Refusal = unpullable(i.Image); i.Refusal != nil {
		return
	}
	tree, whole, err := p.reduced(ctx, i, docs)
	if err == nil {
		tree, err = p.leaveOut(i, tree)
	}
	if err == nil {
		i.Left = countReferrers(bySubject, whole.Without(tree))
	}
	if err == nil && p.Store == image.ClassicStore {
		err = p.classicCarries(ctx, i.Image.Repository, tree)
	}
	switch {
	case err == nil:
		p.write(i, tree)
		i.Unknown = unknownMediaTypes(tree)
		i.Dispensable = dispensable(tree, i.Unknown)
		if bySubject != nil {
			i.members = tree.Digests()
		}
	case !errors.As(err, &i.Failure):
		i.Refusal = err
	}
}

// reduced returns the tree to copy, and the whole tree of the item's image as far as it could be read. What
// MIGRATE_PLATFORM leaves out need not exist.
func (p *Planner) reduced(ctx context.Context, i *Item, docs documents) (tree, whole image.Tree, err error) {
	top, ok := docs.read[i.Image.Digest]
	if p.Platform == nil || !ok {
		tree, err = docs.tree(i.Image.Digest)
		return tree, tree, err
	}
	whole = image.NewTree(top, docs.read)
	if tree, i.Reduced, err = p.reduce(ctx, i.Image.Repository, whole); err == nil {
		tree, err = docs.tree(tree.Root.Digest)
	}
	return tree, whole, err
}

// write records in the item what to copy, and keeps its manifests while the limit allows.
func (p *Planner) write(i *Item, tree image.Tree) {
	if i.Root = tree.Root.Digest; i.Root == i.Image.Digest {
		i.Root = i.Image.Digest // so that memory holds the digest once
	}
	i.Blobs = p.Catalog.Add(tree.Blobs())
	i.Bytes = p.Catalog.Bytes(i.Blobs)
	i.TrialBytes = trialBytes(tree)
	packed := tree.Pack()
	if p.kept.Add(packed.Size()) <= keepManifests || len(i.LeftOut) > 0 { // a rewritten root is in no registry yet
		i.Tree = packed
	}
}

// tree returns the tree of root, or a *Failure if one of its manifests could not be read.
func (docs documents) tree(root digest.Digest) (image.Tree, error) {
	top, ok := docs.read[root]
	if !ok {
		return image.Tree{}, docs.unreadable(ocispec.Descriptor{Digest: root})
	}
	tree := image.NewTree(top, docs.read)
	for _, manifest := range tree.Manifests() {
		for _, child := range manifest.Children {
			if _, ok := docs.read[child.Digest]; !ok {
				return image.Tree{}, docs.unreadable(child)
			}
		}
	}
	return tree, nil
}

// unreadable explains why a manifest is missing. It differs only in the reference from others with the same cause.
func (docs documents) unreadable(missing ocispec.Descriptor) *Failure {
	what := "the manifest"
	if missing.Platform != nil && missing.Platform.OS != "unknown" { // which attestations have
		what += " of " + platforms.FormatAll(*missing.Platform)
	}
	cause := docs.failed[missing.Digest]
	if cause == nil {
		cause = errors.New("ECR does not have it")
	}
	return &Failure{Ref: missing.Digest.String(), Err: fmt.Errorf("%s cannot be read: %w", what, cause)}
}

// Source is the registry to copy from.
type Source interface {
	// Repositories returns all of the registry's repositories, in the registry's order.
	Repositories(ctx context.Context) ([]image.Repository, error)
	// Images returns the repository's tagged images and its referrers.
	Images(ctx context.Context, repository image.Repository) ([]image.Image, error)
	// Manifests returns the manifests of one repository by digest, and errors for those that could not be read. The
	// errors do not contain the digest, so that errors with the same cause are equal.
	Manifests(ctx context.Context, repository image.Repository, digests []digest.Digest) (map[digest.Digest]image.Manifest, map[digest.Digest]error)
}
