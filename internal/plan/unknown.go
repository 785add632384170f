package plan

import (
	"maps"
	"slices"
)

// UnknownType is a media type that GitLab's registry is not known to take (see MediaTypesOf), with what has it.
type UnknownType struct {
	MediaType string
	Tags      int // of images that have it
	Bound     int // of these tags: those that MIGRATE_LEAVE_OUT cannot migrate without it
	Referrers int // signatures, SBOMs and others that have it
}

// UnknownTypes returns the media types in the items that GitLab's registry is not known to take, sorted. tags says how
// many of an item's tags count.
func UnknownTypes(items []*Item, tags func(*Item) int) []UnknownType {
	f := unknownTypes{found: map[string]*UnknownType{}, seen: map[*Item]bool{}}
	for _, i := range items {
		if n := tags(i); n > 0 && !i.Rejected() {
			f.add(i, n)
		}
	}
	var sorted []UnknownType
	for _, mediaType := range slices.Sorted(maps.Keys(f.found)) {
		sorted = append(sorted, *f.found[mediaType])
	}
	return sorted
}

// unknownTypes are the results of UnknownTypes in the making.
type unknownTypes struct {
	found map[string]*UnknownType
	seen  map[*Item]bool // lists of referrers: images share subjects
}

func (f unknownTypes) at(mediaType string) *UnknownType {
	if f.found[mediaType] == nil {
		f.found[mediaType] = &UnknownType{MediaType: mediaType}
	}
	return f.found[mediaType]
}

// add counts the item's media types with its number of tags, and those of its referrers.
func (f unknownTypes) add(i *Item, tags int) {
	for _, mediaType := range i.Unknown {
		f.at(mediaType).Tags += tags
		if !slices.Contains(i.Dispensable, mediaType) {
			f.at(mediaType).Bound += tags
		}
	}
	for _, list := range i.Lists() {
		if f.seen[list] {
			continue
		}
		f.seen[list] = true
		for mediaType, count := range list.List.unknown {
			f.at(mediaType).Referrers += count
		}
	}
}
