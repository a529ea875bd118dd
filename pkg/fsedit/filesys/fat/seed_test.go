//go:build linux

package fat

import (
	"os"
	"strconv"
	"time"
)

// modelOps is how many random operations the rows share; VMCONV_OPS and
// VMCONV_SOAK change it, VMCONV_SEED repeats a run.
func modelOps() int {
	if n, err := strconv.Atoi(os.Getenv("VMCONV_OPS")); err == nil {
		return n
	}
	if os.Getenv("VMCONV_SOAK") != "" {
		return 20000
	}
	return 2000
}

func modelSeed() uint64 {
	if n, err := strconv.ParseUint(os.Getenv("VMCONV_SEED"), 0, 64); err == nil {
		return n
	}
	return uint64(time.Now().UnixNano())
}
