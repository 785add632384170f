# The tutorial's script with the body of its loop eight times at once.
set -eo pipefail
aws() { command aws --endpoint-url "$AWS_ENDPOINT_URL" "$@"; }
copy() {
  docker pull "$ECR_REGISTRY/$1"
  docker tag "$ECR_REGISTRY/$1" "$CI_REGISTRY_IMAGE/$1"
  docker push "$CI_REGISTRY_IMAGE/$1"
}
export -f copy

aws sts get-caller-identity
aws ecr get-login-password | docker login --username AWS --password-stdin "$ECR_REGISTRY"
docker login -u "$CI_REGISTRY_USER" --password-stdin "$CI_REGISTRY" <<<"$CI_REGISTRY_PASSWORD"

repos=$(aws ecr describe-repositories --query 'repositories[*].repositoryName' --output text)
for repo in $repos; do
  tags=$(aws ecr describe-images --repository-name "$repo" --query 'imageDetails[*].imageTags[]' --output text)
  for tag in $tags; do
    echo "$repo:$tag"
  done
done | xargs -P 8 -n 1 bash -ec 'copy "$1"' copy
