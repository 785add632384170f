package migrate

import (
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
)

// task is the copy of an item: what is known of it once its turn has come.
type task struct {
	*plan.Item

	pending []string          // tags that are not at the target yet
	present []Result          // of the tags that are, or that are not to be copied for another reason
	answers map[string]answer // of the target, by pending tag
	work    *workspace        // what the copy has in the engine
}

// newTask begins the copy of an item, of which all tags are pending.
func newTask(i *plan.Item) *task { return &task{Item: i, pending: i.Image.Tags} }

// newTasks begins the copies of the items.
func newTasks(items []*plan.Item) map[*plan.Item]*task {
	tasks := make(map[*plan.Item]*task, len(items))
	for _, i := range items {
		tasks[i] = newTask(i)
	}
	return tasks
}
