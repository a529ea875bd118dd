package machine

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"hash"
	"io"
	"io/fs"

	"github.com/vmconv/vmconv/pkg/convert/vmdef"
	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// checked is a file of a package with what its bytes have to sum up to.
type checked struct {
	name   string
	src    imagefmt.Source
	digest vmdef.Digest
}

var algorithms = map[string]func() hash.Hash{"sha1": sha1.New, "sha256": sha256.New, "sha512": sha512.New}

// findManifest reads the manifest beside a descriptor, where there is one.
// Entries for files that are not there are only told of: exporters write them.
func (m *Machine) findManifest(src imagefmt.Source, name string, o Options) error {
	mf, err := src.Sibling(name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ondisk.ErrBlocked) {
		return nil
	}
	if err != nil {
		return err
	}
	defer mf.Close()
	text, err := readText(mf, o.Image.Limits)
	if err != nil {
		return err
	}
	digests, err := vmdef.ParseManifest(text, o.Image.Limits)
	if err != nil {
		return err
	}
	for _, d := range digests {
		file, err := src.Sibling(d.File)
		if errors.Is(err, fs.ErrNotExist) {
			m.Warnings = append(m.Warnings, "the manifest names "+d.File+", which is not there")
			continue
		}
		if err != nil {
			return err
		}
		m.manifest = append(m.manifest, checked{d.File, file, d})
	}
	return nil
}

// Verify reads every file that the package's manifest names, and compares. It may
// run while the disks are read: then the bytes come from memory. Without a
// manifest it does nothing.
func (m *Machine) Verify(ctx context.Context) error {
	for _, c := range m.manifest {
		if err := c.verify(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Verified is how many files a manifest vouches for.
func (m *Machine) Verified() int { return len(m.manifest) }

func (c checked) verify(ctx context.Context) error {
	h := algorithms[c.digest.Algorithm]()
	r, buf := blockdev.NewReader(c.src), make([]byte, 1<<20)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := r.Read(buf)
		h.Write(buf[:n])
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	if !bytes.Equal(h.Sum(nil), c.digest.Sum) {
		return ondisk.At(c.name, "manifest", ondisk.NoOffset).Corrupt(
			"its %s is %x, and the manifest says %x: the package is damaged, or was changed; --accept manifest goes on all the same",
			c.digest.Algorithm, h.Sum(nil), c.digest.Sum)
	}
	return nil
}
