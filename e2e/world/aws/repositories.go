package aws

import "slices"

type describeRepositoriesIn struct {
	paging
	RepositoryNames []string `json:"repositoryNames"`
}

type repositoryOut struct {
	RepositoryARN      string  `json:"repositoryArn"`
	RegistryID         string  `json:"registryId"`
	RepositoryName     string  `json:"repositoryName"`
	RepositoryURI      string  `json:"repositoryUri"`
	CreatedAt          float64 `json:"createdAt"`
	ImageTagMutability string  `json:"imageTagMutability"`
}

type describeRepositoriesOut struct {
	Repositories []repositoryOut `json:"repositories"`
	NextToken    string          `json:"nextToken,omitempty"`
}

func (c call) describeRepositories(in describeRepositoriesIn) (out describeRepositoriesOut, err error) {
	repos := c.account.list(c.registryID)
	if len(in.RepositoryNames) > 0 {
		if repos, err = c.named(in); err != nil {
			return out, err
		}
	}
	repos, out.NextToken, err = cut(c.pages, in.paging, "repositories of "+c.registryID, repos, func(r *repository) string { return r.name })
	if err != nil {
		return out, err
	}
	out.Repositories = make([]repositoryOut, 0, len(repos))
	for _, repo := range repos {
		out.Repositories = append(out.Repositories, c.describe(repo))
	}
	return out, nil
}

// named returns the repositories that the request lists, by name.
func (c call) named(in describeRepositoriesIn) ([]*repository, error) {
	if err := checkNoPaging(in.paging, "repositoryNames"); err != nil {
		return nil, err
	}
	if err := checkLength("repositoryNames", len(in.RepositoryNames)); err != nil {
		return nil, err
	}
	var repos []*repository
	for _, name := range slices.Compact(slices.Sorted(slices.Values(in.RepositoryNames))) {
		if err := checkRepositoryName(name); err != nil {
			return nil, err
		}
		repo, err := c.repository(name)
		if err != nil {
			return nil, err
		}
		repos = append(repos, repo)
	}
	return repos, nil
}

func (c call) describe(repo *repository) repositoryOut {
	return repositoryOut{
		RepositoryARN:      repositoryARN(c.region, c.registryID, repo.name),
		RegistryID:         c.registryID,
		RepositoryName:     repo.name,
		RepositoryURI:      c.registryHost + "/" + repo.name,
		CreatedAt:          epoch(repo.created),
		ImageTagMutability: "MUTABLE",
	}
}
