package main

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"github.com/vmconv/vmconv/pkg/fsedit/guest"
	"github.com/vmconv/vmconv/pkg/fsedit/volume"
)

// machineVolumes is one machine of filesystems --json.
type machineVolumes struct {
	Source   string       `json:"source"`         // as the user named it
	Root     string       `json:"root,omitempty"` // volume of the system's "/"
	Volumes  []volumeInfo `json:"volumes"`        // each before what lies in it
	Warnings []string     `json:"warnings,omitempty"`
}

// volumeInfo is a disk, a partition, a logical volume, an array, or what an
// encryption holds.
type volumeInfo struct {
	ID        string   `json:"id"`     // "sda", "sda1", "vg/root"
	Kind      string   `json:"kind"`   // disk, part, lvm, md, luks
	Parent    string   `json:"parent"` // "" for a disk
	Members   []string `json:"members,omitempty"`
	Size      int64    `json:"size"`             // bytes
	Offset    int64    `json:"offset,omitempty"` // bytes on the parent, of a partition
	Number    int      `json:"number,omitempty"` // of a partition
	Table     string   `json:"table,omitempty"`  // the partition table in it: gpt, mbr
	TableID   string   `json:"table_id,omitempty"`
	PartType  string   `json:"part_type,omitempty"`
	PartUUID  string   `json:"part_uuid,omitempty"`
	PartLabel string   `json:"part_label,omitempty"` // see jsonName
	Bootable  bool     `json:"bootable,omitempty"`
	Level     string   `json:"level,omitempty"` // of an array or logical volume: raid1, striped
	DevUUID   string   `json:"dev_uuid,omitempty"`
	Names     []string `json:"names,omitempty"` // device files of a running guest
	Type      string   `json:"type,omitempty"`  // of what it holds: ext4, LVM2_member
	UUID      string   `json:"uuid,omitempty"`
	Label     string   `json:"label,omitempty"`   // see jsonName
	Claimed   string   `json:"claimed,omitempty"` // what it is a member for: lvm, md, luks
	Mounts    []string `json:"mounts,omitempty"`  // by the guest's fstab
	Space     *room    `json:"space,omitempty"`
	Error     string   `json:"error,omitempty"` // why the filesystem cannot be opened
	Free      []span   `json:"free,omitempty"`  // room for partitions, or extents that no logical volume has
}

// span is a run of bytes of a volume.
type span struct {
	Offset int64 `json:"offset"`
	Size   int64 `json:"size"`
}

func newFilesystems(a *app) *cobra.Command {
	var f imageFlags
	var free, asJSON bool
	cmd := &cobra.Command{
		Use:   "filesystems SOURCE...",
		Short: "Show disks, partitions, volumes and filesystems of stopped guests",
		Long: `Show what is on the disks of stopped guests: partitions, members of volume groups
and arrays, logical volumes, encrypted volumes, and the filesystems in them, with
type, size, how full they are, where the guest mounts them, label and UUID. A
volume on several members shows under each of them. What cannot be opened is
known by name, or has no type.`,
		Example: `  vmconv filesystems web.qcow2
  vmconv filesystems --free -a root.img -a data.img
  vmconv filesystems --json web.qcow2 | jq -r '.machines[].volumes[] | select(.type == "xfs") | .id'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			a.ui.json = asJSON
			list, err := a.machines(&f, args)
			if err != nil {
				return err
			}
			found := []machineVolumes{}
			failed := a.survey(cmd.Context(), "filesystems", &f, list, func(source string, m *guestSession) error {
				v, err := listVolumes(cmd.Context(), source, m)
				found = append(found, v)
				return err
			})
			if failed != nil && len(found) == 0 {
				return failed
			}
			if asJSON {
				err = a.printJSON(struct {
					Schema   string           `json:"schema"`
					Machines []machineVolumes `json:"machines"`
				}{"vmconv.filesystems/1", found})
			} else {
				err = a.renderVolumes(found, free)
			}
			if err == nil {
				err = failed
			}
			return err
		},
	}
	f.registerMachines(cmd.Flags())
	cmd.Flags().BoolVar(&free, "free", false, "show what no partition and no logical volume has, too")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// listVolumes describes all volumes of a machine.
func listVolumes(ctx context.Context, source string, m *guestSession) (machineVolumes, error) {
	out := machineVolumes{Source: source, Root: m.Facts.Root, Volumes: []volumeInfo{}, Warnings: jsonNames(m.Facts.Warnings)}
	for _, v := range m.Volumes {
		if err := ctx.Err(); err != nil {
			return out, err
		}
		i := newVolumeInfo(v)
		if n := slices.IndexFunc(m.Volumes, func(o volume.Volume) bool { return o.Parent == v.ID && o.Number > 0 }); n >= 0 {
			i.Table, i.TableID = m.Volumes[n].Kind, v.UUID
			i.Free = gaps(v, m.Volumes)
		}
		fs := slices.IndexFunc(m.Facts.Filesystems, func(f guest.Filesystem) bool { return f.Volume == v.ID })
		if fs >= 0 {
			i.holds(m, m.Facts.Filesystems[fs])
		}
		if v.Locked != nil {
			i.Error = v.Locked.Error()
		}
		out.Volumes = append(out.Volumes, i)
	}
	return out, nil
}

// newVolumeInfo is what a volume is, without what it holds.
func newVolumeInfo(v volume.Volume) volumeInfo {
	i := volumeInfo{ID: v.ID, Kind: v.Kind, Parent: v.Parent, Members: v.Members, Size: v.Len, Names: v.Names, Claimed: v.Claimed}
	switch {
	case v.Parent == "":
	case v.Number > 0:
		i.Kind, i.Offset, i.Number, i.Bootable = "part", v.Off, v.Number, v.Bootable
		i.PartType, i.PartUUID, i.PartLabel = v.Type, v.UUID, jsonName(v.Label)
	default:
		i.Level, i.DevUUID = v.Type, v.UUID
	}
	for _, u := range v.Unused {
		i.Free = append(i.Free, span{u.Off, u.Len})
	}
	return i
}

// holds adds the content of a volume.
func (i *volumeInfo) holds(m *guestSession, fs guest.Filesystem) {
	i.Type, i.UUID, i.Label = fs.Type, fs.UUID, jsonName(fs.Label)
	i.Mounts = jsonNames(mountPoints(m.Facts, i.ID))
	if fs.Type == "swap" || i.Claimed != "" {
		return
	}
	switch r, err := m.room(i.ID); {
	case err != nil:
		i.Error = err.Error()
	case r.Size > 0:
		i.Space = &r
	}
}

// gapUnit is what partitions are aligned to, and less than it is no room for one.
const gapUnit = 1 << 20

// gaps are the whole units of a partitioned volume that no partition touches. What a
// table keeps for itself lies in the first unit, and at the end in less than one.
func gaps(v volume.Volume, all []volume.Volume) []span {
	var parts []volume.Volume
	for _, p := range all {
		if p.Parent == v.ID && p.Number > 0 {
			parts = append(parts, p)
		}
	}
	slices.SortFunc(parts, func(a, b volume.Volume) int { return int(min(1, max(-1, a.Off-b.Off))) })
	var out []span
	at := int64(gapUnit)
	add := func(end int64) {
		if end -= end % gapUnit; end > at {
			out = append(out, span{at, end - at})
		}
	}
	for _, p := range parts {
		add(p.Off)
		at = max(at, (p.Off+p.Len+gapUnit-1)/gapUnit*gapUnit)
	}
	add(v.Len - gapTail)
	return out
}

// gapTail is more than the second copy of a GPT takes.
const gapTail = 64 << 10
