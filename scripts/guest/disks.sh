# shellcheck shell=bash
# The disks of the small Debian guests, and what every disk is written with; sourced by guest-debian.
# Each disk_NAME takes the guest's tree and the image to write, which is $sectors long.
# shellcheck disable=SC2154 # guest-debian sets the rest

# patient TREE: have systemd wait for devices as long as an emulator on a busy machine may take to show them.
patient() {
	mkdir -p "$1/etc/systemd/system.conf.d"
	printf '[Manager]\nDefaultTimeoutStartSec=400s\nDefaultDeviceTimeoutSec=400s\n' >"$1/etc/systemd/system.conf.d/patient.conf"
}

# fstab TREE LINE...: write it, for every LINE of six words.
fstab() {
	local tree=$1 line
	shift
	{
		printf '# /etc/fstab: static file system information.\n#\n'
		printf '# <file system> <mount point> <type> <options> <dump> <pass>\n'
		for line; do
			# shellcheck disable=SC2086 # the words of the line
			printf '%-15s %-13s %-6s %-18s %s %s\n' $line
		done
	} >"$tree/etc/fstab"
}

# grub_config TREE: write grub.cfg by grub-mkconfig. The caller's table "about" holds what grub-probe would say in the
# running guest, see guest/grub-probe; paths begin below /boot where that is a filesystem of its own.
grub_config() {
	local tree=$1 word edits=()
	for word in "${!about[@]}"; do
		edits+=(-e "s|@$word@|${about[$word]}|g")
	done
	stand_in "$tree/usr/sbin/grub-probe" <(sed "${edits[@]}" "$scripts/guest/grub-probe")
	[ "${about[boot]}" = "${about[root]}" ] ||
		stand_in "$tree/usr/bin/grub-mkrelpath" <(printf '#!/bin/sh\necho "${1#/boot}"\n')
	chroot "$tree" grub-mkconfig -o /boot/grub/grub.cfg 2>&1 | grep -v '^Found\|^Generating\|^done\|os-prober' >&2 || true
	for word in "$tree"/usr/{sbin/grub-probe,bin/grub-mkrelpath}; do
		[ ! -e "$word.real" ] || mv "$word.real" "$word"
	done
	grep -q "root=${about[root]} " "$tree/boot/grub/grub.cfg" || die "grub.cfg does not name root=${about[root]}"
}

# stand_in PROGRAM FILE: put FILE in a program's place; it then is PROGRAM.real.
stand_in() {
	mv "$1" "$1.real"
	cat "$2" >"$1"
	chmod 755 "$1"
}

# configure TREE DISK PARTITION PARTMAP FSTYPE [SWAP]: write fstab and grub.cfg for a root on DISK's PARTITION ('' for
# the whole disk).
configure() {
	local tree=$1 disk=$2 partition=$3 partmap=$4 fstype=$5 swap=${6-} hint=hd0
	local device=$disk$partition
	[ -z "$partition" ] || hint=hd0,$partmap$partition
	fstab "$tree" "$device / $fstype errors=remount-ro 0 1" ${swap:+"$swap none swap sw 0 0"}
	local -A about=([root]=$device [root-fs]=ext2 [root-uuid]=$root_uuid [boot]=$device [boot-fs]=ext2
		[boot-uuid]=$root_uuid [disk]=$disk [partmap]=$partmap [abstraction]='' [hint]=$hint)
	grub_config "$tree"
}

disk_mbr() {
	local tree=$1 image=$2 root=$((sectors - 2048 - (256 << 11)))
	configure "$tree" /dev/xvda 1 msdos ext4 /dev/xvda2
	printf 'label: dos\nlabel-id: 0x76636f6e\nstart=2048, size=%d, type=83, bootable\nstart=%d, type=82\n' \
		"$root" $((2048 + root)) | partition "$image"
	filesystem "$image" 2048 "$root" "$tree" -t ext4 -U "$root_uuid"
	swap_area "$image" $((2048 + root)) $((sectors - 2048 - root))
	grub "$image" "$tree/usr/lib/grub/i386-pc" '(,msdos1)/boot/grub' 1 part_msdos ext2
}

disk_gpt() {
	local tree=$1 image=$2 root=$((sectors - 4096 - 2048))
	configure "$tree" /dev/xvda 2 gpt ext3
	printf 'label: gpt\nlabel-id: 5CA1AB1E-5EED-4AAA-8BBB-000000000003\n%s\nstart=4096, size=%d, type=L, uuid=%s\n' \
		'start=2048, size=2048, type=21686148-6449-6E6F-744E-656564454649, uuid=5CA1AB1E-5EED-4AAA-8BBB-000000000004' \
		"$root" 5CA1AB1E-5EED-4AAA-8BBB-000000000005 | partition "$image"
	filesystem "$image" 4096 "$root" "$tree" -t ext3 -b 1024 -U "$root_uuid"
	grub "$image" "$tree/usr/lib/grub/i386-pc" '(,gpt2)/boot/grub' 2048 part_gpt ext2
}

disk_bare() {
	configure "$1" /dev/xvda '' '' ext4
	filesystem "$2" 0 "$sectors" "$1" -t ext4 -U "$root_uuid"
}

disk_twokernels() { disk_mbr "$@"; }

# A kernel mount that is shut down once its journal is on the disk, and the image as it then is: unmounting would still
# write some of what the journal holds to its place.
disk_dirty() {
	local mnt
	touch "$1/etc/dirty-removed"
	disk_mbr "$@"
	mnt=$(mktemp -d)
	mount -o loop,offset=$((2048 * 512)) "$2" "$mnt"
	echo 'only in the journal' >"$mnt/etc/dirty-marker"
	echo 'changed in the journal' >"$mnt/etc/motd"
	rm "$mnt/etc/dirty-removed"
	xfs_io -x -c 'shutdown -f' "$mnt"
	cp --sparse=always "$2" "$2.crashed"
	umount "$mnt"
	rmdir "$mnt"
	mv "$2.crashed" "$2"
	dumpe2fs -h "$2?offset=$((2048 * 512))" 2>/dev/null | grep -q needs_recovery || die 'the journal came out clean'
}
