package ext

import (
	"github.com/vmconv/vmconv/pkg/fsedit/filesys"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
)

// plainNode reads an inode whose attributes may be changed.
func (e *editor) plainNode(n filesys.Node) (*inode, error) {
	in, err := e.v.node(n)
	if err != nil {
		return nil, err
	}
	if in.num < e.v.firstInode && in.num != inoRoot || in.has(flEAInode) {
		return nil, in.at().Unsupported("it belongs to the filesystem itself")
	}
	return in, nil
}

// WriteFile replaces the content of a file; see [filesys.Editor]. Capabilities
// do not survive new content, as they do not survive write(2).
func (e *editor) WriteFile(n filesys.Node, content blockdev.Device) error {
	return e.do(func() error {
		in, err := e.plainNode(n)
		switch {
		case err != nil:
			return err
		case in.mode().IsDir():
			return filesys.ErrIsDir
		case !in.mode().IsRegular():
			return filesys.ErrNotFile
		case in.has(flEncrypt):
			return in.at().Unsupported("the file is encrypted")
		}
		if err := e.checkSize(in, content.Size()); err != nil {
			return err
		}
		ranges, err := dataBlocks(content, e.v.blockBits)
		if err != nil {
			return err
		}
		old, err := e.v.holdings(in)
		if err != nil {
			return err
		}
		return e.replace(in, old, content, ranges)
	})
}

// replace lays content out in new blocks, then frees the old ones.
func (e *editor) replace(in *inode, old *holdings, content blockdev.Device, ranges []span64) error {
	if in.has(flInlineData) {
		if err := e.dropInline(in); err != nil {
			return err
		}
	}
	in.setFlags(0, flVerity)
	if err := e.dropPrivileges(in); err != nil {
		return err
	}
	runs, err := e.layOut(in, ranges)
	if err != nil {
		return err
	}
	tree, err := e.setMap(in, runs, nil)
	if err != nil {
		return err
	}
	now := holdings{runs: runs}
	if err := in.addBlocks(e.v, int64(now.blocks())+int64(tree)-int64(old.blocks())); err != nil {
		return err
	}
	if err := e.free(old); err != nil {
		return err
	}
	in.setSize(content.Size())
	e.setPending(in.num, pendingFile{content, runs})
	return e.modified(in)
}

// dropPrivileges removes the attributes that speak of the old content, as a
// write does: capabilities, and the hash of an integrity measurement.
func (e *editor) dropPrivileges(in *inode) error {
	a, err := e.attributes(in)
	if err != nil {
		return err
	}
	for _, name := range []string{"capability", "ima"} {
		if err := a.remove(xaSecurity, name); err != nil {
			return err
		}
	}
	return a.store()
}

// checkSize refuses files that the filesystem cannot hold with its features.
func (e *editor) checkSize(in *inode, size int64) error {
	v := e.v
	switch {
	case size > 1<<31-1 && !v.hasROCompat(frLargeFile):
		return in.at().Unsupported("a file of %d bytes needs the feature large_file", size)
	case v.blocksOf(size) > maxLogical-1,
		!v.hasIncompat(fiExtents) && v.blocksOf(size) > indirectLimit(int(v.blockSize)):
		return in.at().Unsupported("a file of %d bytes is too large for this filesystem", size)
	}
	return nil
}

// SetAttr changes attributes; an access ACL follows the permission bits.
func (e *editor) SetAttr(n filesys.Node, a filesys.SetAttr) error {
	return e.do(func() error {
		in, err := e.plainNode(n)
		if err != nil {
			return err
		}
		if a.Mode != nil {
			if err := e.chmod(in, *a.Mode); err != nil {
				return err
			}
		}
		uid, gid := in.uid(), in.gid()
		if a.UID != nil {
			uid = *a.UID
		}
		if a.GID != nil {
			gid = *a.GID
		}
		in.setOwner(uid, gid)
		if a.Atime != nil {
			in.setAtime(*a.Atime)
		}
		if a.Mtime != nil {
			in.setMtime(*a.Mtime)
		}
		return e.changed(in)
	})
}

// release frees an inode that no name is left for, with all that it holds.
func (e *editor) release(in *inode) error {
	v := e.v
	if err := e.freeXattrs(in); err != nil {
		return err
	}
	h, err := v.holdings(in)
	if err != nil {
		return err
	}
	if err := e.free(h); err != nil {
		return err
	}
	if err := e.releaseInode(in.num, in.mode().IsDir()); err != nil {
		return err
	}
	generation := in.Generation
	clear(in.raw)
	in.put32(inGeneration, generation)
	in.put32(inDtime, max(1, uint32(e.now.Unix())))
	e.setPending(in.num, pendingFile{})
	return e.putInode(in)
}

// maxLinks is how many names an inode may have: ext2 and ext3 stop at 32000.
func (v *volume) maxLinks() uint16 {
	if v.hasROCompat(frDirNlink) {
		return 65000
	}
	return 32000
}

// addLink counts one more name of a file, or one more ".." of a directory. An
// indexed directory of too many subdirectories stops counting, and shows 1.
func (e *editor) addLink(in *inode) error {
	counts, limit := in.Links+1, e.v.maxLinks()
	if in.mode().IsDir() {
		switch {
		case in.Links == 1:
			return nil
		case in.has(flIndex) && e.v.hasROCompat(frDirNlink) && counts >= limit:
			counts = 1
		}
	}
	if in.Links >= limit {
		return in.at().Wrap(filesys.ErrTooMany)
	}
	in.setLinks(counts)
	return nil
}

// dropLink is the way back.
func (e *editor) dropLink(in *inode) {
	if in.mode().IsDir() && in.Links <= 2 {
		return
	}
	in.setLinks(in.Links - 1)
}
