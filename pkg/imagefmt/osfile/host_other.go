//go:build !linux

package osfile

import (
	"errors"
	"os"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
)

const noAtime = 0

// holeOrData does not look: reading finds the zeros.
func holeOrData(_ *os.File, _, n int64) (blockdev.Kind, int64, error) {
	return blockdev.Data, n, nil
}

// startWriteback leaves it to the sync.
func startWriteback(*os.File, int64, int64) {}

// allocate leaves it to writing zeros.
func allocate(*os.File, int64, int64) error { return errors.ErrUnsupported }

func cloneRange(*os.File, blockdev.HostPos, int64, int64) error { return errors.ErrUnsupported }

func renameNoReplace(from, to string) error { return linkInstead(from, to) }

// lockShared cannot know about other programs here; see the package's words on
// locks.
func lockShared(*os.File) error { return nil }

func lockExclusive(*os.File) error { return nil }
