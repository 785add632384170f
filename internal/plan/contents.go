package plan

// Content sums up the planned images of one repository.
type Content struct {
	Repository string
	Images     int
	Bytes      int64 // of their blobs, each once
}

// Contents sums up items, sorted as in a Survey, by repository. Rejected items do not count.
func (c *Catalog) Contents(items []*Item) []Content {
	var contents []Content
	counted := make([]int, c.Len()) // by blob: the last repository that counted it, from 1
	for i, ofOne := range ByRepository(items) {
		content := Content{Repository: ofOne[0].Image.Repository.Name}
		for _, t := range ofOne {
			if len(t.Blobs) > 0 {
				content.Images++
			}
			for _, id := range t.Blobs {
				if counted[id] != i+1 {
					counted[id] = i + 1
					content.Bytes += c.Size(id)
				}
			}
		}
		if content.Images > 0 {
			contents = append(contents, content)
		}
	}
	return contents
}
