package ecr

import (
	"cmp"
	"strings"
)

// ECR redirects the download of a layer to an S3 bucket of its own, one in each region (Amazon ECR User Guide, "Minimum
// Amazon S3 Bucket Permissions for Amazon ECR").
const (
	layerBucketPrefix = "prod-"
	layerBucketSuffix = "-starport-layer-bucket"
)

// LayerBucketHost returns the host from which ECR's layers are downloaded in the region.
func LayerBucketHost(region string) string {
	domain := "amazonaws.com"
	if partition(region) == "aws-cn" {
		domain = "amazonaws.com.cn"
	}
	return layerBucket(region) + ".s3." + region + "." + domain
}

// IsLayerBucket reports whether the host, with or without a port, is that of one of ECR's buckets.
func IsLayerBucket(host string) bool { return layerBucketRegion(host) != "" }

// LayerBucketRemedy returns what to do where the bucket denies the download of a layer. Without the host of one of ECR's
// buckets, REGION stands in for the region.
func LayerBucketRemedy(host string) string {
	region := layerBucketRegion(host)
	return "this is neither ECR nor the IAM policy: the S3 endpoint policy must allow s3:GetObject on arn:" + partition(region) + ":s3:::" +
		layerBucket(cmp.Or(region, "REGION")) + "/*"
}

func layerBucket(region string) string { return layerBucketPrefix + region + layerBucketSuffix }

// layerBucketRegion returns the region of one of ECR's buckets, or an empty string.
func layerBucketRegion(host string) string {
	bucket, _, _ := strings.Cut(host, ".")
	region, isBucket := strings.CutSuffix(bucket, layerBucketSuffix)
	region, isProd := strings.CutPrefix(region, layerBucketPrefix)
	if !isBucket || !isProd {
		return ""
	}
	return region
}

// partition returns the AWS partition of the region.
func partition(region string) string {
	switch {
	case strings.HasPrefix(region, "cn-"):
		return "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		return "aws-us-gov"
	}
	return "aws"
}
