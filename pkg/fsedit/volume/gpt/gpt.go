package gpt

import (
	"context"
	"fmt"
	"math"

	"github.com/vmconv/vmconv/pkg/fsedit/volume"
	"github.com/vmconv/vmconv/pkg/imagefmt/blockdev"
	"github.com/vmconv/vmconv/pkg/imagefmt/ondisk"
)

// Mapper reads GUID partition tables. It is a stateless value.
type Mapper struct{}

var _ volume.Table = Mapper{}

func (Mapper) Name() string { return "gpt" }

// Probe is Sure of a good table that a protective MBR announces, and Maybe of a
// good one on a disk whose MBR is empty. Where the MBR holds another table the
// kernel does not look further, and the answer is None.
func (Mapper) Probe(dev blockdev.Device) (ondisk.Match, error) {
	guard, err := protection(dev)
	if err != nil || guard == foreign {
		return ondisk.None, err
	}
	if _, err := load(dev); failing(err) {
		return ondisk.None, err
	} else if err != nil {
		return ondisk.None, nil
	}
	if guard == protective {
		return ondisk.Sure, nil
	}
	return ondisk.Maybe, nil
}

// DiskID is the GUID of the disk.
func (Mapper) DiskID(dev blockdev.Device) (string, error) {
	c, err := load(dev)
	if err != nil {
		return "", err
	}
	return c.header.DiskGUID.String(), nil
}

// Map returns the partitions in the order of their slots. It takes one device.
func (Mapper) Map(ctx context.Context, devs []blockdev.Device, opts volume.Options) ([]volume.Volume, error) {
	if len(devs) != 1 {
		return nil, fmt.Errorf("gpt: %d devices, a table lies on one", len(devs))
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	dev := devs[0]
	c, err := load(dev)
	if err != nil {
		return nil, err
	}
	notice := opts.Notice
	if notice == nil {
		notice = func(string) {}
	}
	if c.backup {
		notice(fmt.Sprintf("the backup partition table is used: %v", c.why))
	}
	if guard, err := protection(dev); err == nil && guard == absent {
		notice("the partition table has no protective MBR: Linux would not see it")
	}
	return c.volumes(dev, notice), nil
}

// volumes turns the used entries into volumes.
func (c copyOf) volumes(dev blockdev.Device, notice func(string)) []volume.Volume {
	var out []volume.Volume
	for i := range int(c.header.Entries) {
		e := decodeEntry(c.entries[i*int(c.header.EntryLen):])
		if e.Type.zero() {
			continue
		}
		part, off, n, err := c.section(dev, e)
		if err != nil {
			notice(fmt.Sprintf("partition %d (sectors %d to %d): %v: left out", i+1, e.FirstLBA, e.LastLBA, err))
			continue
		}
		out = append(out, volume.Volume{
			Kind: "gpt", Number: i + 1, UUID: e.Unique.String(), Label: e.name(),
			Type: e.Type.String(), Bootable: e.Flags&flagBoot != 0, Off: off, Len: n, Device: part,
		})
	}
	return out
}

func (c copyOf) section(dev blockdev.Device, e entry) (part blockdev.Device, off, n int64, err error) {
	limit := uint64(math.MaxInt64 / c.unit)
	switch {
	case e.LastLBA < e.FirstLBA:
		return nil, 0, 0, ondisk.Because(ondisk.ErrCorrupt, "ends before it begins")
	case e.FirstLBA == 0:
		return nil, 0, 0, ondisk.Because(ondisk.ErrCorrupt, "begins on the table")
	case e.LastLBA >= limit || int64(e.LastLBA+1)*c.unit > dev.Size():
		return nil, 0, 0, ondisk.Because(ondisk.ErrCorrupt, "ends beyond the disk of %d sectors", dev.Size()/c.unit)
	}
	off = int64(e.FirstLBA) * c.unit
	n = int64(e.LastLBA-e.FirstLBA+1) * c.unit
	part, err = blockdev.NewSection(dev, off, n)
	return part, off, n, err
}

// guard is what the MBR says about a GPT.
type guard int

const (
	absent     guard = iota // no signature in the MBR
	protective              // an entry of type ee
	foreign                 // another table
)

// protection looks at the MBR in the first 512 bytes.
func protection(dev blockdev.Device) (guard, error) {
	if dev.Size() < 2*512 {
		return foreign, nil
	}
	var p [512]byte
	if err := ondisk.Full(dev, p[:], 0); err != nil {
		return foreign, err
	}
	if p[510] != 0x55 || p[511] != 0xaa {
		return absent, nil
	}
	for at := 446; at < 510; at += 16 {
		if p[at+4] == 0xee {
			return protective, nil
		}
	}
	return foreign, nil
}
