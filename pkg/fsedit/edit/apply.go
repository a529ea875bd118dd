package edit

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/fsedit/guest"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Disks is the guest that changes are made in: a guest.Tree.
type Disks interface {
	guest.View
	// Place finds the filesystem of a real path, whose last elements may be
	// missing.
	Place(real string) (guest.Place, error)
}

// ApplyOptions tune [Apply].
type ApplyOptions struct {
	Now  time.Time     // stamps what is changed; must be set
	Rand func() uint32 // see filesys.EditOptions
}

// Apply makes the changes. Room and old contents are checked on every filesystem
// before anything is written; then all of them are committed. After an error
// nothing that was not committed is written, and the disks' overlays are best
// thrown away.
func Apply(ctx context.Context, disks Disks, changes []Change, opts ApplyOptions) error {
	sites, err := group(disks, changes)
	if err != nil {
		return err
	}
	for _, site := range sites {
		if err := site.room(); err != nil {
			return err
		}
	}
	for _, site := range sites {
		if err := site.open(opts); err != nil {
			return err
		}
		defer site.editor.Abort() // does nothing after Commit
	}
	for _, site := range sites {
		for _, w := range site.work {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := site.do(w); err != nil {
				return fmt.Errorf("%s: %w", w.change.Path, err)
			}
		}
	}
	for _, site := range sites {
		if err := site.editor.Commit(ctx); err != nil {
			return fmt.Errorf("filesystem on %s: %w", site.mount, err)
		}
	}
	return nil
}

// site is one filesystem with what is to be done on it.
type site struct {
	mount  string
	volume filesys.Volume
	work   []work
	editor filesys.Editor
}

type work struct {
	change *Change
	path   string // inside the filesystem
}

// group sorts the changes by filesystem; within one, a directory is made before
// what is in it and removed after it.
func group(disks Disks, changes []Change) ([]*site, error) {
	var sites []*site
	byVolume := map[filesys.Volume]*site{}
	for _, c := range inOrder(changes) {
		place, err := disks.Place(c.Path)
		if err != nil {
			return nil, err
		}
		s := byVolume[place.Volume]
		if s == nil {
			s = &site{mount: place.Mount, volume: place.Volume}
			byVolume[place.Volume] = s
			sites = append(sites, s)
		}
		s.work = append(s.work, work{c, place.Path})
	}
	return sites, nil
}

// inOrder are the changes by path, and then the removals against it.
func inOrder(changes []Change) []*Change {
	var made, removed []*Change
	for i := range changes {
		if changes[i].Kind == Remove {
			removed = append(removed, &changes[i])
		} else {
			made = append(made, &changes[i])
		}
	}
	slices.Reverse(removed)
	return append(made, removed...)
}

func (s *site) open(opts ApplyOptions) error {
	editor, err := s.volume.Edit(filesys.EditOptions{Now: opts.Now, Rand: opts.Rand})
	if err != nil {
		return fmt.Errorf("filesystem on %s: %w", s.mount, err)
	}
	s.editor = editor
	return nil
}

// room fails when the changes need more blocks or inodes than are free. Blocks
// that a file leaves are free only after the commit, so that each new content
// counts in full.
func (s *site) room() error {
	space := s.volume.Space()
	if space.BlockSize <= 0 {
		return nil
	}
	var blocks, inodes int64
	for _, w := range s.work {
		switch w.change.Kind {
		case Modify:
			blocks += mapped(w.change.Content.Size(), space.BlockSize)
		case Add:
			blocks += mapped(w.change.Content.Size(), space.BlockSize) + 1 // its directory may grow
			inodes++
		case Mkdir, Link:
			blocks += 2
			inodes++
		}
	}
	switch {
	case blocks > space.FreeBlocks:
		return ondisk.Because(ondisk.ErrNoSpace, "filesystem on %s: %d KiB needed, %d KiB free",
			s.mount, blocks*space.BlockSize>>10, space.FreeBlocks*space.BlockSize>>10)
	case space.Inodes > 0 && inodes > space.FreeInodes:
		return ondisk.Because(ondisk.ErrNoSpace, "filesystem on %s: %d inodes needed, %d free",
			s.mount, inodes, space.FreeInodes)
	}
	return nil
}

// mapped is the number of blocks that a file takes, with the blocks that map
// them: at worst a pointer of 4 bytes each.
func mapped(size, blockSize int64) int64 {
	data := ondisk.DivUp(size, blockSize)
	if data <= 4 {
		return data
	}
	return data + ondisk.DivUp(data*4, blockSize) + 2
}
