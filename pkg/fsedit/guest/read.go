package guest

import (
	"io"

	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

func readFile(v View, path string, limit int64) ([]byte, error) {
	dev, err := v.Open(path)
	if err != nil {
		return nil, err
	}
	if dev.Size() > limit {
		return nil, ondisk.Because(ondisk.ErrTooBig, "%s: %d bytes, more than the %d allowed here", path, dev.Size(), limit)
	}
	p := make([]byte, dev.Size())
	if _, err := io.ReadFull(blockdev.NewReader(dev), p); err != nil {
		return nil, err
	}
	return p, nil
}
