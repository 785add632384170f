package ecr

import (
	"strings"
	"testing"
)

func TestLayerBucketOfARegion(t *testing.T) {
	for region, want := range map[string]struct{ host, objects string }{
		"eu-west-1": {
			"prod-eu-west-1-starport-layer-bucket.s3.eu-west-1.amazonaws.com", "arn:aws:s3:::prod-eu-west-1-starport-layer-bucket/*",
		},
		"cn-north-1": {
			"prod-cn-north-1-starport-layer-bucket.s3.cn-north-1.amazonaws.com.cn", "arn:aws-cn:s3:::prod-cn-north-1-starport-layer-bucket/*",
		},
		"us-gov-west-1": {
			"prod-us-gov-west-1-starport-layer-bucket.s3.us-gov-west-1.amazonaws.com", "arn:aws-us-gov:s3:::prod-us-gov-west-1-starport-layer-bucket/*",
		},
	} {
		host := LayerBucketHost(region)
		if host != want.host || !IsLayerBucket(host) {
			t.Errorf("%s: %s, which is one of ECR's: %t", region, host, IsLayerBucket(host))
		}
		if remedy := LayerBucketRemedy(host); !strings.HasSuffix(remedy, " s3:GetObject on "+want.objects) {
			t.Errorf("%s: %s", host, remedy)
		}
	}
}

func TestOtherHostsAreNoLayerBuckets(t *testing.T) {
	const anyRegion = "s3:GetObject on arn:aws:s3:::prod-REGION-starport-layer-bucket/*"
	for _, host := range []string{
		"", "127.0.0.1:9000", "bucket.example.com", "prod-.s3.amazonaws.com", "eu-west-1-starport-layer-bucket.s3.eu-west-1.amazonaws.com",
		"bucket.example.com.prod-eu-west-1-starport-layer-bucket",
	} {
		if remedy := LayerBucketRemedy(host); IsLayerBucket(host) || !strings.HasSuffix(remedy, anyRegion) {
			t.Errorf("%s: is one: %t, %s", host, IsLayerBucket(host), remedy)
		}
	}
}
