package migrate

import (
	"sync"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/plan"
	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/transfer"
)

// copies are the copies under way. Its methods may be called concurrently.
type copies struct {
	mu     sync.Mutex
	byItem map[*plan.Item]*transfer.Copy
}

func newCopies() *copies { return &copies{byItem: map[*plan.Item]*transfer.Copy{}} }

// of returns the copy of the item. The first call creates it.
func (c *copies) of(i *plan.Item) *transfer.Copy {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.byItem[i]
	if t == nil {
		t = transfer.NewCopy(i)
		c.byItem[i] = t
	}
	return t
}

// forget drops the copy of an item that is done: what a copy knows of the engine takes more memory than the item's plan.
func (c *copies) forget(i *plan.Item) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.byItem, i)
}
