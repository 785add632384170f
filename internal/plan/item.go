package plan

import (
	"slices"

	"github.com/opencontainers/go-digest"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
)

// Tagged returns the complete target reference of one of the tags.
func (i *Item) Tagged(tag string) string { return i.Target + ":" + tag }

// Targets returns the complete target references of the tags.
func (i *Item) Targets(tags []string) []string {
	targets := make([]string, len(tags))
	for at, tag := range tags {
		targets[at] = i.Tagged(tag)
	}
	return targets
}

// Item is one image to copy, with all of its tags, or the referrers of one subject: what to copy, and where to. The planner
// creates it, and it does not change afterwards.
type Item struct {
	Image   image.Image
	Target  string           // the target repository, host included
	Root    digest.Digest    // the manifest to copy: the image, or that of the one platform asked for; empty: nobody knows which
	Tree    image.PackedTree // of root; nil if it has to be read again when the item's turn comes
	Blobs   []BlobID         // of the tree, each once
	Bytes   int64            // of the blobs
	members []digest.Digest  // all manifests of the tree; nil if nothing in the repository has a subject
	Reduced bool             // root is one platform of an index, as the user asked
	LeftOut []string         // kinds of the manifests that the index was written anew without, sorted
	Unknown []string         // media types in the tree that GitLab's registry is not known to take, sorted
	// Dispensable are those of Unknown that MIGRATE_LEAVE_OUT can leave out: they are neither the root's nor of what runs.
	Dispensable []string
	TrialBytes  int64          // to be moved before the target has answered for all of Unknown
	Left        int            // referrers of manifests that are not in the tree, because of Reduced or LeftOut
	List        *ReferrersList // of an item that brings referrers; nil: the item is an image
	Referrers   []*Item        // lists of what refers to manifests of the tree
	After       []*Item        // what the item refers to: GitLab may refuse a manifest whose subject it does not have
	Refusal     error          // why the item cannot arrive whole, whatever is tried
	Failure     *Failure       // why the item could not be planned
}

// Lists returns the lists of what refers to the item, followed by those of what refers to the referrers, each once.
func (i *Item) Lists() []*Item {
	if len(i.Referrers) == 0 {
		return nil
	}
	var all []*Item
	seen := map[*Item]bool{}
	for queue := i.Referrers; len(queue) > 0; queue = queue[1:] {
		if list := queue[0]; !seen[list] {
			seen[list] = true
			all = append(all, list)
			queue = slices.Concat(queue, list.Referrers)
		}
	}
	return all
}

// digests returns the manifests that are at the target once the item is, and that of the whole image if only a part of it
// is copied, each once.
func (i *Item) digests() []digest.Digest {
	if slices.Contains(i.members, i.Image.Digest) {
		return i.members
	}
	return append(slices.Clone(i.members), i.Image.Digest)
}

// Rejected reports whether nothing of the item will be copied.
func (i *Item) Rejected() bool { return i.Refusal != nil || i.Failure != nil }

// Failure is the reason why something could not be planned.
type Failure struct {
	Ref string // the manifest, or its reference
	Err error
}

// Error returns the reference and the cause.
func (f *Failure) Error() string { return f.Ref + ": " + f.Err.Error() }

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.Err }

// Before sorts by repository name, and within a repository from the oldest image to the newest.
func (i *Item) Before(other *Item) bool {
	if i.Image.Repository.Name != other.Image.Repository.Name {
		return i.Image.Repository.Name < other.Image.Repository.Name
	}
	if !i.Image.PushedAt.Equal(other.Image.PushedAt) {
		return i.Image.PushedAt.Before(other.Image.PushedAt)
	}
	return i.Image.Digest < other.Image.Digest
}
