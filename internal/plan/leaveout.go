package plan

import (
	"fmt"
	"slices"

	"gitlab.com/ecr2gitlab/ecr2gitlab/internal/image"
)

// leavesOut reports whether artifacts of the kind are left out. Without patterns, nothing is left out.
func (p *Planner) leavesOut(kind string) bool {
	return len(p.LeaveOut) > 0 && kind != "" && p.LeaveOut.choose(kind)
}

// leaveOut returns the tree without the kinds that MIGRATE_LEAVE_OUT names, and records the removed kinds in the item.
func (p *Planner) leaveOut(i *Item, tree image.Tree) (image.Tree, error) {
	if len(p.LeaveOut) == 0 {
		return tree, nil
	}
	reduced, left, err := tree.LeaveOut(p.leavesOut)
	if err != nil {
		return image.Tree{}, fmt.Errorf("MIGRATE_LEAVE_OUT would leave nothing of this image: %w", err)
	}
	for _, m := range left {
		i.LeftOut = append(i.LeftOut, m.Kind())
	}
	slices.Sort(i.LeftOut)
	i.LeftOut = slices.Compact(i.LeftOut)
	return reduced, nil
}
