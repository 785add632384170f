package plan

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit"
)

// account is a planned registry, made without manifests.
type account struct {
	tasks []*Item
	blobs *Catalog
}

// layerOf returns a layer of the given number of megabytes.
func layerOf(name string, megabytes int) ocispec.Descriptor {
	return ocispec.Descriptor{Digest: digest.FromString(name), Size: int64(megabytes) << 20}
}

// push adds an image with one tag, the newest of its repository.
func (a *account) push(repository string, layers ...ocispec.Descriptor) *Item {
	if a.blobs == nil {
		a.blobs = NewCatalog()
	}
	n := len(a.tasks)
	t := &Item{Blobs: a.blobs.Add(layers), Image: image.Image{
		Repository: testkit.Repository(repository),
		Digest:     digest.FromString(fmt.Sprint(repository, n)),
		Tags:       []string{fmt.Sprintf("v%d", n)},
		PushedAt:   time.Date(2026, 1, 2, 3, n, 0, 0, time.UTC),
	}}
	a.tasks = append(a.tasks, t)
	return t
}

// sorted returns the items in the order of a Survey.
func (a *account) sorted() []*Item {
	tasks := slices.Clone(a.tasks)
	sort.Slice(tasks, func(i, j int) bool { return tasks[i].Before(tasks[j]) })
	return tasks
}

// shares returns the shares of all jobs.
func (a *account) shares(total int) [][]*Item {
	shares := make([][]*Item, total)
	for i, units := range cut(lineUp(a.sorted(), a.blobs), total) {
		shares[i] = inOrder(units)
	}
	return shares
}

// jobs maps each image to the job that copies it.
func (a *account) jobs(total int) map[*Item]int {
	jobs := map[*Item]int{}
	for i, tasks := range a.shares(total) {
		for _, t := range tasks {
			jobs[t] = i + 1
		}
	}
	return jobs
}

// grow fills the account as companies do: repositories based on a few base images, most with few tags and some with
// very many, whose dependencies change now and then, and whose program changes with every tag. Some images are signed,
// and some rejected.
func grow(seed uint64, repositories, tags int) *account {
	random := rand.New(rand.NewPCG(seed, 0))
	a := &account{blobs: NewCatalog()}
	weights := make([]float64, repositories)
	sum := 0.0
	for i := range weights {
		weights[i] = math.Exp(1.5 * random.NormFloat64())
		sum += weights[i]
	}
	for i, weight := range weights {
		name := fmt.Sprintf("team-%02d/app-%04d", random.IntN(40), i)
		base := fmt.Sprintf("base %d", random.IntN(12))
		for j := range max(1, int(weight/sum*float64(tags))) {
			t := a.push(name, layerOf(base, 80), layerOf(base+" tools", 45),
				layerOf(fmt.Sprint(name, " dependencies ", j/10), 20+(i*37+j/10*11)%150),
				layerOf(fmt.Sprint(name, " program ", j), 1+random.IntN(40)))
			switch random.IntN(50) {
			case 0:
				a.push(name, layerOf(fmt.Sprint(name, " signature ", j), 0)).Image.Subject = t.Image.Digest
			case 1:
				t.Refusal, t.Blobs = errors.New("refused"), nil
			}
		}
	}
	return a
}

// expectAll fails the test unless each item is in exactly one share, in the order of the survey.
func (a *account) expectAll(t *testing.T, shares [][]*Item) {
	t.Helper()
	taken := map[*Item]int{}
	for i, tasks := range shares {
		for j, mine := range tasks {
			if before, twice := taken[mine]; twice {
				t.Fatalf("%s is taken by job %d and by job %d", mine.Image.Tags, before, i+1)
			}
			taken[mine] = i + 1
			if j > 0 && !tasks[j-1].Before(mine) {
				t.Fatalf("job %d has %s after %s", i+1, mine.Image.Tags, tasks[j-1].Image.Tags)
			}
		}
	}
	if len(taken) != len(a.tasks) {
		t.Fatalf("%d of %d images are taken", len(taken), len(a.tasks))
	}
}

func TestSharesAreAllOfIt(t *testing.T) {
	for seed := range uint64(8) {
		for _, size := range [][2]int{{1, 1}, {1, 9}, {3, 3}, {40, 400}} {
			a := grow(seed, size[0], size[1])
			for _, total := range []int{1, 2, 3, 4, 7, 10, 50, 200} {
				a.expectAll(t, a.shares(total))
			}
		}
	}
	nothing := &account{blobs: NewCatalog()}
	nothing.expectAll(t, nothing.shares(3))
}

// Sizes in manifests are arbitrary numbers.
func FuzzSharesAreAllOfIt(f *testing.F) {
	f.Add(uint64(1), uint8(3), int64(math.MaxInt64))
	f.Add(uint64(2), uint8(200), int64(-1))
	f.Add(uint64(3), uint8(0), int64(0))
	f.Add(uint64(4), uint8(7), int64(math.MaxInt64))
	f.Add(uint64(5), uint8(9), int64(math.MaxInt64))
	f.Fuzz(func(t *testing.T, seed uint64, total uint8, size int64) {
		random := rand.New(rand.NewPCG(seed, 0))
		a := &account{blobs: NewCatalog()}
		for range random.IntN(60) {
			var layers []ocispec.Descriptor
			for range random.IntN(4) {
				d := digest.FromString(fmt.Sprint(random.IntN(40)))
				layers = append(layers, ocispec.Descriptor{Digest: d, Size: size >> random.IntN(64)})
			}
			img := a.push(fmt.Sprint(random.IntN(8)), layers...)
			if other := a.tasks[random.IntN(len(a.tasks))]; random.IntN(4) == 0 {
				img.Image.Repository, img.Image.Subject = other.Image.Repository, other.Image.Digest
			}
		}
		a.expectAll(t, a.shares(max(1, int(total))))
	})
}

// mostOfMean returns the bytes of the largest share, as a multiple of the mean.
func (a *account) mostOfMean(shares [][]*Item) float64 {
	var most, sum int64
	for _, tasks := range shares {
		_, bytes, _ := a.blobs.Sum(tasks)
		most, sum = max(most, bytes), sum+bytes
	}
	return float64(most) * float64(len(shares)) / float64(sum)
}

// No image here is nearly as large as a share, and a share is many times as large as what images have in common.
func TestSharesAreOfLikeBytes(t *testing.T) {
	for _, test := range []struct{ repositories, tags, total int }{
		{40, 400, 2}, {40, 400, 5}, {40, 400, 10}, {300, 6000, 4}, {300, 6000, 20}, {300, 6000, 50},
	} {
		for seed := range uint64(5) {
			a := grow(seed, test.repositories, test.tags)
			if most := a.mostOfMean(a.shares(test.total)); most > 1.3 {
				t.Errorf("%+v, seed %d: the largest share has %.2f times the mean's bytes", test, seed, most)
			}
		}
	}
}

func TestSharesOfOneRepository(t *testing.T) {
	a := &account{}
	for i := range 1000 {
		a.push("huge", layerOf("base", 500), layerOf(fmt.Sprint(i), 10))
	}
	a.push("small", layerOf("of small", 10))
	for i, tasks := range a.shares(4) {
		if len(tasks) < 220 || len(tasks) > 285 {
			t.Errorf("job %d has %d images", i+1, len(tasks))
		}
	}
}

// Tags count, too.
func TestSharesOfSmallImages(t *testing.T) {
	a := &account{}
	a.push("large", layerOf("of large", 100))
	for i := range 300 {
		a.push("small", layerOf(fmt.Sprint(i), 0))
	}
	for i, tasks := range a.shares(4) {
		if len(tasks) > 120 {
			t.Errorf("job %d has %d images", i+1, len(tasks))
		}
	}
}

// Rejected images are not copied, so they do not reduce a job's share.
func TestSharesBesideRefusals(t *testing.T) {
	a := &account{}
	for range 100 {
		a.push("a").Refusal = errors.New("refused")
	}
	for i := range 100 {
		a.push("b", layerOf(fmt.Sprint("copied ", i), 1))
	}
	for i, tasks := range a.shares(2) {
		copied := len(Copies(tasks))
		if copied < 45 || copied > 55 {
			t.Errorf("job %d copies %d images", i+1, copied)
		}
	}
}

// An image that only one job could not read leaves nearly all others in place.
func TestSharesBesideUnreadImage(t *testing.T) {
	a := grow(1, 40, 400)
	want := a.jobs(5)
	random := rand.New(rand.NewPCG(1, 1))
	for range 20 {
		broken := a.tasks[random.IntN(len(a.tasks))]
		whole := *broken
		broken.Blobs, broken.Failure = nil, &Failure{Ref: "a", Err: errors.New("timeout")}
		if moved := movedBetween(want, a.jobs(5)); moved > len(a.tasks)/20 {
			t.Errorf("%d of %d images go to another job", moved, len(a.tasks))
		}
		*broken = whole
	}
}

func TestShareOfOneJobIsEverything(t *testing.T) {
	a := grow(1, 3, 9)
	for _, share := range []Share{{}, {Index: 1, Total: 1}} {
		if tasks := share.Of(a.sorted(), a.blobs); !slices.Equal(tasks, a.sorted()) {
			t.Errorf("%+v has %d of %d images", share, len(tasks), len(a.tasks))
		}
	}
	for i, want := range a.shares(3) {
		if tasks := (Share{Index: i + 1, Total: 3}).Of(a.sorted(), a.blobs); !slices.Equal(tasks, want) {
			t.Errorf("job %d has %d images, want %d", i+1, len(tasks), len(want))
		}
	}
}

// Referrers are copied by the job that copies their subject; otherwise GitLab might reject them.
func TestSharesKeepReferrersWithSubjects(t *testing.T) {
	source := testkit.NewRegistry()
	for i := range 20 {
		pair, children := testkit.Pair(t, fmt.Sprint("app ", i))
		source.Hold("app", children...)
		source.Push("app", pair, fmt.Sprint("image-", i))
	}
	for i := range 20 {
		pair, children := testkit.Pair(t, fmt.Sprint("app ", i))
		signature := testkit.Artifact(t, "application/x-signature", fmt.Sprint(i), pair)
		source.Push("app", signature, fmt.Sprint("signature-", i))
		source.Push("app", testkit.Artifact(t, "application/x-signature", "countersigned", signature), fmt.Sprint("countersignature-", i))
		source.Push("app", testkit.Artifact(t, "application/x-sbom", fmt.Sprint("sbom ", i), children[1]))
		source.Push("app", testkit.Index(t, testkit.Child(children[1], testkit.Linux("arm64"))), fmt.Sprint("arm64-", i))
		listed := testkit.Artifact(t, "application/x-listed", fmt.Sprint("listed ", i), children[0])
		source.Push("app", listed)
		source.Push("app", testkit.Index(t, testkit.Child(listed, nil)), image.ReferrersTag(children[0].Digest))
	}
	found, p := planned(t, source, nil)
	a := &account{tasks: found.Items, blobs: p.Catalog}
	for _, total := range []int{2, 3, 7, 20, 200} {
		a.expectAll(t, a.shares(total))
		jobs, families, used := a.jobs(total), map[string]int{}, map[int]bool{}
		for _, img := range a.tasks {
			used[jobs[img]] = true
			_, family, _ := strings.Cut(img.Image.Tags[0], "-")
			if img.Image.MediaType == ocispec.MediaTypeImageIndex && len(family) == 64 {
				family = listedFor(t, family)
			}
			if families[family] == 0 {
				families[family] = jobs[img]
			}
			if families[family] != jobs[img] {
				t.Errorf("%d jobs: %s goes to job %d, others of its family to %d", total, img.Image.Tags, jobs[img], families[family])
			}
		}
		if len(used) < min(total, 20) {
			t.Errorf("%d jobs: %d of them have something", total, len(used))
		}
		for _, img := range a.tasks {
			expectInJob(t, jobs, img, img)
			for _, list := range img.Lists() {
				expectInJob(t, jobs, img, list)
			}
		}
	}
}

// expectInJob fails the test unless the images that the item follows are copied by the same job as the image.
func expectInJob(t *testing.T, jobs map[*Item]int, img, item *Item) {
	t.Helper()
	for _, before := range item.After {
		if before.List == nil && jobs[before] != jobs[img] {
			t.Errorf("%s goes to job %d, and %s, which %s follows, to %d", img.Image.Tags, jobs[img], before.Image.Tags, item.Image.Tags, jobs[before])
		}
	}
}

// listedFor returns the number of the image that lists the digest.
func listedFor(t *testing.T, encoded string) string {
	t.Helper()
	for i := range 20 {
		if _, children := testkit.Pair(t, fmt.Sprint("app ", i)); children[0].Digest.Encoded() == encoded {
			return fmt.Sprint(i)
		}
	}
	t.Fatalf("no image has the child %s", encoded)
	return ""
}

// The source may answer jobs in different orders.
func TestSharesAreTheSameInEachJob(t *testing.T) {
	source := testkit.NewRegistry()
	for i := range 30 {
		name := fmt.Sprintf("app-%02d", i*7%30)
		for j := range 1 + i%5 {
			document := testkit.ImageDocument(fmt.Sprint(name, j))
			document.Layers = append(document.Layers, layerOf(fmt.Sprint("base ", i%4), 30), layerOf(name, 10*i))
			source.Push(name, document.Manifest(t), fmt.Sprint(j))
		}
	}
	told := func() string {
		found, p := planned(t, source, nil)
		var lines []string
		for i, tasks := range (&account{tasks: found.Items, blobs: p.Catalog}).shares(6) {
			for _, img := range tasks {
				lines = append(lines, fmt.Sprint(i, img.Image.Repository.Name, img.Image.Tags))
			}
		}
		return strings.Join(lines, "\n")
	}
	want := told()
	random := rand.New(rand.NewPCG(1, 0))
	for range 10 {
		random.Shuffle(len(source.Listed), func(i, j int) {
			source.Listed[i], source.Listed[j] = source.Listed[j], source.Listed[i]
		})
		for _, images := range source.Tagged {
			random.Shuffle(len(images), func(i, j int) { images[i], images[j] = images[j], images[i] })
		}
		if got := told(); got != want {
			t.Fatalf("shares\n%s\nand\n%s", got, want)
		}
	}
}

// movedBetween counts the images that move to another job.
func movedBetween(before, after map[*Item]int) int {
	moved := 0
	for img, job := range before {
		if after[img] != job {
			moved++
		}
	}
	return moved
}

// A retried job lists the registry again, and finds what was pushed meanwhile: nearly everything else stays in place.
func TestSharesStayWhenATagIsPushed(t *testing.T) {
	for _, test := range []struct{ repositories, tags, total int }{
		{40, 400, 2}, {40, 400, 10}, {300, 6000, 4}, {300, 6000, 50},
	} {
		var sum, trials float64
		for seed := range uint64(3) {
			a := grow(seed, test.repositories, test.tags)
			before := a.jobs(test.total)
			random := rand.New(rand.NewPCG(seed, 1))
			for i := range 10 {
				name := a.tasks[random.IntN(len(before))].Image.Repository.Name
				a.push(name, layerOf("base 1", 80), layerOf(fmt.Sprint("pushed ", i), 1+random.IntN(200)))
				moved := float64(movedBetween(before, a.jobs(test.total))) / float64(len(before))
				if moved > 0.1 {
					t.Errorf("%+v, seed %d: %.1f %% of the images go to another job", test, seed, 100*moved)
				}
				a.tasks = a.tasks[:len(before)]
				sum, trials = sum+moved, trials+1
			}
		}
		if sum/trials > 0.04 {
			t.Errorf("%+v: on average %.1f %% of the images go to another job", test, 100*sum/trials)
		}
	}
}

func BenchmarkShare(b *testing.B) {
	a := grow(1, 2000, 52000)
	tasks := a.sorted()
	b.ReportAllocs()
	for b.Loop() {
		Share{Index: 100, Total: 200}.Of(tasks, a.blobs)
	}
	b.ReportMetric(float64(len(tasks)), "images")
	b.ReportMetric(float64(a.blobs.Len()), "blobs")
}
