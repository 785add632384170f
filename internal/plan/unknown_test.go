package plan

import (
	"slices"
	"testing"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
)

func TestUnknownTypes(t *testing.T) {
	list := &Item{List: &ReferrersList{Count: 3, unknown: map[string]int{"application/signature": 2}}}
	tags := func(names ...string) image.Image { return image.Image{Tags: names} }
	items := []*Item{
		{Image: tags("1", "2"), Unknown: []string{"application/soci"}, Dispensable: []string{"application/soci"}},
		{Image: tags("3"), Unknown: []string{"application/soci", "application/wasm"}},
		{Image: tags("4"), Referrers: []*Item{list}},
		{Image: tags("5"), Referrers: []*Item{list}},
		{Image: tags("6"), Unknown: []string{"application/refused"}, Refusal: image.ErrSchema1},
		{Image: tags("present"), Unknown: []string{"application/present"}},
	}
	got := UnknownTypes(items, func(i *Item) int {
		if i.Image.Tags[0] == "present" {
			return 0
		}
		return len(i.Image.Tags)
	})
	want := []UnknownType{
		{MediaType: "application/signature", Referrers: 2},
		{MediaType: "application/soci", Tags: 3, Bound: 1},
		{MediaType: "application/wasm", Tags: 1, Bound: 1},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
