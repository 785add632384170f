package migrate

import (
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
)

// task is the copy of an item: what is known of it once its turn has come.
type task struct {
	*plan.Item

	checked bool          // the target has been asked for its tags
	pending []string      // tags that are not at the target yet
	present []Result      // of the tags that are
	absent  []plan.BlobID // blobs that the engine did not have when the image's turn came, and that its push needs
	there   []plan.BlobID // blobs that the engine need not have: the target repository has them
	local   []plan.BlobID // the others
	claimed []plan.BlobID // those that its push is to bring to the target
	shared  []plan.BlobID // those of them that images to come consist of, too
	wants   bool          // counts among the images for whose sake blobs are kept in the engine
	alone   bool          // tried once more by itself, after the engine's disk was full
	work    *workspace    // once its turn has come
}

// newTasks begins the copies of the items, of which all tags are pending.
func newTasks(items []*plan.Item) []*task {
	tasks := make([]*task, len(items))
	for i, item := range items {
		tasks[i] = &task{Item: item, pending: item.Image.Tags}
	}
	return tasks
}
