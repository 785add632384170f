# What the job of GitLab's tutorial does, command by command, its tools being installed already:
# https://docs.gitlab.com/user/packages/container_registry/migrate_containers_ecr_tutorial/
# Other than there, the AWS CLI is told its endpoint, and no password is on a command line.
set -eo pipefail # as the runner has it
aws() { command aws --endpoint-url "$AWS_ENDPOINT_URL" "$@"; }

aws sts get-caller-identity
aws ecr get-login-password | docker login --username AWS --password-stdin "$ECR_REGISTRY"
docker login -u "$CI_REGISTRY_USER" --password-stdin "$CI_REGISTRY" <<<"$CI_REGISTRY_PASSWORD"

repos=$(aws ecr describe-repositories --query 'repositories[*].repositoryName' --output text)
for repo in $repos; do
  tags=$(aws ecr describe-images --repository-name "$repo" --query 'imageDetails[*].imageTags[]' --output text)
  for tag in $tags; do
    docker pull "$ECR_REGISTRY/$repo:$tag"
    docker tag "$ECR_REGISTRY/$repo:$tag" "$CI_REGISTRY_IMAGE/$repo:$tag"
    docker push "$CI_REGISTRY_IMAGE/$repo:$tag"
  done
done
