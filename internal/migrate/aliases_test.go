package migrate

import "gitlab.com/ecr2gitlab/ecr2gitlab/internal/testkit"

const (
	hash            = testkit.EmptyDigest
	targetBase      = testkit.TargetBase
	leastDescriptor = testkit.LeastDescriptor
)

var (
	blob            = testkit.Blob
	heavy           = testkit.Heavy
	imageOf         = testkit.Image
	imageDocument   = testkit.ImageDocument
	artifactOf      = testkit.Artifact
	child           = testkit.Child
	linux           = testkit.Linux
	indexOf         = testkit.Index
	pairOf          = testkit.Pair
	byDigest        = testkit.ByDigest
	digestsOf       = testkit.Digests
	readLayout      = testkit.ReadLayout
	expectError     = testkit.ExpectError
	saying          = testkit.Saying
	newSource       = testkit.NewRegistry
	repositoryNamed = testkit.Repository
)
