package corpus

import (
	"context"
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Shapes creates small images and artifacts of every kind that an ECR repository may hold. The host is assumed to be
// linux/amd64. Compressed layers are kept in cacheDir; empty: in the user's cache directory.
//
// Layers that have the same files in different compressions occur only in the rows named after that.
func Shapes(ctx context.Context, cacheDir string) ([]Shape, error) {
	m := &maker{ctx: ctx}
	m.store, m.err = openStore(cacheDir)
	if m.err == nil {
		m.source, m.err = sourcePool(ctx)
	}
	if m.err != nil {
		return nil, fmt.Errorf("shapes: %w", m.err)
	}
	shapes := slices.Concat(
		m.images(), m.indexes(), m.attested(), m.artifacts(), m.signed(), m.referred(), m.names(), m.shared(), m.recompressed())
	if m.err != nil {
		return nil, fmt.Errorf("shapes: %w", m.err)
	}
	return shapes, nil
}

// shape is a row with one tag in its own repository.
func shape(name, repository string, classic Classic, object Object) Shape {
	return Shape{Name: name, Repository: "shapes/" + repository, Tags: []string{"1.0"}, Classic: classic, Object: object}
}

// images are single-platform images.
func (m *maker) images() []Shape {
	return []Shape{
		shape("Docker manifest", "docker-manifest", Carries, m.docker("docker-manifest", linuxAMD64)),
		shape("OCI manifest", "oci-manifest", Carries, m.oci("oci-manifest", linuxAMD64)),
		shape("image of a foreign platform", "foreign-platform", Carries, m.oci("foreign-platform", linuxARM64)),
		shape("Windows image", "windows", Refuses, m.docker("windows", windows2022)),
		shape("zstd layers", "zstd", Refuses, m.image(imageSpec{
			name: "zstd", platform: linuxAMD64, layers: m.packed("zstd", linuxAMD64, zstdDefault),
		})),
		shape("uncompressed layers, OCI", "uncompressed-oci", Carries, m.image(imageSpec{
			name: "uncompressed-oci", platform: linuxAMD64, layers: m.packed("uncompressed-oci", linuxAMD64, plain),
		})),
		shape("uncompressed layers, Docker", "uncompressed-docker", Carries, m.image(imageSpec{
			name: "uncompressed-docker", platform: linuxAMD64, docker: true, layers: m.packed("uncompressed-docker", linuxAMD64, plain),
		})),
		shape("image without layers", "no-layers", Carries, m.image(imageSpec{name: "no-layers", platform: linuxAMD64})),
	}
}

// indexes are multi-platform images.
func (m *maker) indexes() []Shape {
	twice := m.oci("listed-twice", linuxAMD64)
	return []Shape{
		shape("Docker manifest list", "docker-list", Refuses, m.dockerList(
			on(linuxAMD64, m.docker("docker-list", linuxAMD64)), on(linuxARM64, m.docker("docker-list", linuxARM64)))),
		shape("OCI index", "oci-index", Refuses, m.ociIndex(m.children("oci-index", linuxAMD64, linuxARM64)...)),
		shape("platforms with variants", "variants", Refuses, m.ociIndex(
			m.children("variants", linuxAMD64, linuxARMv6, linuxARMv7, linuxARM64v8)...)),
		shape("index without the host's platform", "not-for-host", Refuses, m.ociIndex(
			m.children("not-for-host", linuxARM64, linuxS390X)...)),
		shape("several Windows versions", "windows-versions", Refuses, m.ociIndex(
			m.children("windows-versions", windows2019, windows2022)...)),
		shape("Linux and Windows mixed", "linux-and-windows", Refuses, m.dockerList(
			on(linuxAMD64, m.docker("linux-and-windows", linuxAMD64)),
			on(linuxARM64, m.docker("linux-and-windows", linuxARM64)),
			on(windows2019, m.docker("linux-and-windows", windows2019)),
			on(windows2022, m.docker("linux-and-windows", windows2022)))),
		shape("nested index", "nested-index", Refuses, m.ociIndex(
			child{object: m.ociIndex(m.children("nested-index", linuxAMD64, linuxARM64)...)},
			on(linuxS390X, m.oci("nested-index", linuxS390X)))),
		shape("index that lists one child twice", "listed-twice", Refuses, m.ociIndex(
			on(linuxAMD64, twice), on(v1.Platform{OS: "linux", Architecture: "amd64", Variant: "v2"}, twice),
			on(linuxARM64, m.oci("listed-twice", linuxARM64)))),
	}
}

// names are the most unusual tags and repositories that ECR's rules and the distribution specification permit.
func (m *maker) names() []Shape {
	// ECR: (?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*, limited to two levels here.
	odd := shape("repository with every character", "", Carries, m.docker("every-character", linuxAMD64))
	odd.Repository = "0abcdefghijklm.nopqrstuvwxyz_1-2.3/4_5-6.7_8-9.0a"
	long := shape("tag of 128 characters", "long-tag", Carries, m.docker("long-tag", linuxAMD64))
	long.Tags = []string{strings.Repeat("a.B-c_D9", 128/8)}
	tags := shape("tags with upper case, dots and dashes", "odd-tags", Carries, m.oci("odd-tags", linuxAMD64))
	tags.Tags = []string{"Release-2024.01_RC1", "UPPER", "_internal", "v1.0.0-alpha.1", "0", "a..b--c__d", "trailing-", "trailing."}
	many := shape("one digest under twelve tags", "twelve-tags", Carries, m.docker("twelve-tags", linuxAMD64))
	many.Tags = []string{"1.4.2", "1.4", "1", "latest", "stable", "main", "production", "staging", "2024-03-11", "build-8812", "3f9c2ab", "sha-3f9c2ab71d"}
	return []Shape{odd, long, tags, many}
}

// shared are two repositories with the same image.
func (m *maker) shared() []Shape {
	image := m.oci("shared", linuxAMD64)
	return []Shape{
		shape("blobs shared with another repository", "shared-one", Carries, image),
		shape("blobs shared with another repository, the other", "shared-two", Carries, image),
	}
}

// recompressed are the rows in which different blobs have the same files (diff IDs).
func (m *maker) recompressed() []Shape {
	across := func(c compression) v1.Image {
		return m.image(imageSpec{name: "recompressed", platform: linuxAMD64, docker: true, layers: m.packed("recompressed", linuxAMD64, c)})
	}
	within := func(platform v1.Platform, c compression) child {
		const name = "recompressed-within"
		layers := []layer{m.base(name, platform, c), m.application(name+" "+platform.String(), platform, gzipDefault)}
		return on(platform, m.image(imageSpec{name: name, platform: platform, layers: layers}))
	}
	return []Shape{
		shape("same files, other compression, across repositories", "recompressed-fast", Carries, across(gzipFast)),
		shape("same files, other compression, across repositories, the other", "recompressed-best", Carries, across(gzipBest)),
		shape("same files, other compression, within an index", "recompressed-within", Refuses,
			m.ociIndex(within(linuxAMD64, gzipFast), within(linuxARM64, gzipBest))),
	}
}
