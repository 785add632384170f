package image

import "encoding/json"

// Blank returns an archive with an image of this name that has no layers, for an engine with that store to load.
func Blank(store Store, name string) ([]byte, error) {
	if store == ClassicStore {
		return blankArchive(name)
	}
	l := NewLayout()
	blank, config := Artifact("application/vnd.ecr2gitlab.blank")
	l.Add([]string{name}, blank, config)
	return l.Archive()
}

// blankArchive returns the archive in the format of docker save, the only one that the classic store loads.
func blankArchive(name string) ([]byte, error) {
	const configFile = "config.json"
	config, err := json.Marshal(map[string]any{
		"architecture": "amd64", "os": "linux", "comment": "an empty image of ecr2gitlab's",
		"config": map[string]any{}, "rootfs": map[string]any{"type": "layers", "diff_ids": []string{}},
	})
	if err != nil {
		return nil, err
	}
	manifest, err := json.Marshal([]map[string]any{{"Config": configFile, "RepoTags": []string{name}, "Layers": []string{}}})
	if err != nil {
		return nil, err
	}
	return archive([]layoutFile{{configFile, config}, {"manifest.json", manifest}})
}
