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
	"path"

	"github.com/vmconv/vmconv/pkg/convert/vmdef"
	"github.com/vmconv/vmconv/pkg/imagefmt"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

var algorithms = map[string]func() hash.Hash{"sha1": sha1.New, "sha256": sha256.New, "sha512": sha512.New}

// Verified is what a manifest said.
type Verified struct {
	Files  int      // that were read and compared
	Absent []string // that it names and that are not there: exporters write such
}

// Verify reads every file that the package's manifest names, and compares. It may
// run while the disks are read: then the bytes come from memory. Without a
// manifest it does nothing.
func (m *Machine) Verify(ctx context.Context, limits ondisk.Limits) (v Verified, err error) {
	digests, err := m.readManifest(limits)
	if err != nil {
		return v, err
	}
	for _, d := range digests {
		file, err := m.descriptor.Sibling(d.File)
		if errors.Is(err, fs.ErrNotExist) {
			v.Absent = append(v.Absent, d.File)
			continue
		}
		if err != nil {
			return v, err
		}
		err = verify(ctx, file, d)
		file.Close()
		if err != nil {
			return v, err
		}
		v.Files++
	}
	return v, nil
}

// readManifest reads the manifest where there is one. It has each file once for
// each algorithm, so that a short manifest cannot ask for endless work.
func (m *Machine) readManifest(limits ondisk.Limits) ([]vmdef.Digest, error) {
	if m.manifest == "" {
		return nil, nil
	}
	file, err := m.descriptor.Sibling(m.manifest)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ondisk.ErrBlocked) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := readText(file, limits)
	if err != nil {
		return nil, err
	}
	all, err := vmdef.ParseManifest(text, limits)
	if err != nil {
		return nil, err
	}
	type key struct{ file, algorithm string }
	first := map[key][]byte{}
	var list []vmdef.Digest
	for _, d := range all {
		k := key{path.Clean(d.File), d.Algorithm}
		sum, twice := first[k]
		switch {
		case !twice:
			first[k], list = d.Sum, append(list, d)
		case !bytes.Equal(sum, d.Sum):
			return nil, ondisk.At("manifest", "file", ondisk.NoOffset).Corrupt("it gives two digests for %s", d.File)
		}
	}
	return list, nil
}

func verify(ctx context.Context, file imagefmt.Source, d vmdef.Digest) error {
	h := algorithms[d.Algorithm]()
	r, buf := blockdev.NewReader(file), make([]byte, 1<<20)
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
	if sum := h.Sum(nil); !bytes.Equal(sum, d.Sum) {
		return ondisk.At("manifest", d.File, ondisk.NoOffset).Corrupt(
			"its %s is %x, and the manifest says %x: the package is damaged, or was changed; --accept manifest goes on all the same",
			d.Algorithm, sum, d.Sum)
	}
	return nil
}
