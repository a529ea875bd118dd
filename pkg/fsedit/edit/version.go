package edit

import "fmt"

// olderKernel reports whether a kernel's release, "5.4.0-186-generic", is before
// a version. A release that tells no version is not.
func olderKernel(release string, major, minor, patch int) bool {
	var v [3]int
	if n, _ := fmt.Sscanf(release, "%d.%d.%d", &v[0], &v[1], &v[2]); n < 2 {
		return false
	}
	for i, bound := range [3]int{major, minor, patch} {
		if v[i] != bound {
			return v[i] < bound
		}
	}
	return false
}
