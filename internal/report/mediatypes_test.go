package report

import (
	"strings"
	"testing"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/migrate"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
)

func TestUnknownTypes(t *testing.T) {
	const (
		headline = "Plan: media types that " + plan.MediaTypesOf + " does not take; later versions take more, so yours may:"
		upgrade  = "      If GitLab refuses them: upgrade it, or set REGISTRY_FF_DYNAMIC_MEDIA_TYPES=true on a self-managed registry"
	)
	for _, test := range []struct {
		name    string
		unknown []plan.UnknownType
		want    []string
	}{
		{"none", nil, nil},
		{"of the tags themselves", []plan.UnknownType{{MediaType: "application/wasm", Tags: 3, Bound: 3}}, []string{
			headline, "      application/wasm (3 tags, of which 3 cannot arrive without it)", upgrade,
		}},
		{"what can be left out", []plan.UnknownType{
			{MediaType: "application/signature", Referrers: 2}, {MediaType: "application/soci", Tags: 3}, {MediaType: "application/wasm", Tags: 1, Bound: 1},
		}, []string{
			headline,
			"      application/signature (2 signatures or other referrers)",
			"      application/soci (3 tags)",
			"      application/wasm (1 tags, of which 1 cannot arrive without it)",
			upgrade,
			"      or leave out artifacts that accompany images: MIGRATE_LEAVE_OUT=application/signature,application/soci",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			want := append([]string{empty(3)}, test.want...)
			var out strings.Builder
			NewLog(&out).Observe(migrate.Planned{Tags: 3, Store: image.ContainerdStore, Unknown: test.unknown})
			expect(t, out.String(), want...)
		})
	}
}
