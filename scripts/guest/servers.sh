# shellcheck shell=bash
# The disks of the guests that are laid out as servers are; sourced by guest-debian.
# Each disk_NAME takes the guest's tree and the image to write, which is $sectors long; a second disk is IMAGE with a 2
# behind it. The kernel that this runs on need not know the device mapper: LVM's tools write their metadata without it.
# shellcheck disable=SC2154 # guest-debian sets the rest

boot_uuid=5ca1ab1e-5eed-4aaa-8bbb-000000000006
var_uuid=5ca1ab1e-5eed-4aaa-8bbb-000000000007
luks_uuid=5ca1ab1e-5eed-4aaa-8bbb-000000000008
esp_serial=5CA1AB1E
passphrase=guest

# /boot on ext4, the root on XFS in a logical volume, swap in another.
disk_lvmxfs() {
	local tree=$1 image=$2 boot=$((256 << 11)) pv
	pv=$((2048 + boot))
	fstab "$tree" "/dev/mapper/vg-root / xfs defaults 0 0" "${xvd}a1 /boot ext4 defaults 0 2" \
		"/dev/mapper/vg-swap none swap sw 0 0"
	local -A about=([root]=/dev/mapper/vg-root [root-fs]=xfs [root-uuid]=$root_uuid [boot]=${xvd}a1 [boot-fs]=ext2
		[boot-uuid]=$boot_uuid [disk]=${xvd}a [partmap]=msdos [abstraction]='' [hint]=hd0,msdos1)
	name_root_volume "$tree"
	grub_config "$tree"

	printf 'label: dos\nlabel-id: 0x76636f6e\nstart=2048, size=%d, type=83, bootable\nstart=%d, type=8e\n' \
		"$boot" "$pv" | partition "$image"
	volume_group "$image" "$pv" $((sectors - pv)) vg root=2560 swap=256
	filesystem "$image" 2048 "$boot" "$tree/boot" -t ext4 -U "$boot_uuid"
	aside "$tree/boot"
	xfs "$image" "${volume[root]}" $((2560 << 11)) "$tree" "$root_uuid"
	back "$tree/boot"
	swap_area "$image" "${volume[swap]}" $((256 << 11))
	grub "$image" "$tree/usr/lib/grub/i386-pc" '(,msdos1)/grub' 1 part_msdos ext2
}

# An EFI system partition and the root on XFS, /boot in it. The loader lies only where the firmware's own boot entry
# named it: that entry was in the old machine's NVRAM.
disk_uefi() {
	local tree=$1 image=$2 esp=$((100 << 11)) root
	root=$((2048 + esp))
	mkdir -p "$tree/boot/efi" "$tree/boot/grub/x86_64-efi"
	cp "$tree"/usr/lib/grub/x86_64-efi/*.{mod,lst} "$tree/boot/grub/x86_64-efi/"
	fstab "$tree" "${xvd}a2 / xfs defaults 0 0" "${xvd}a1 /boot/efi vfat umask=0077 0 1"
	local -A about=([root]=${xvd}a2 [root-fs]=xfs [root-uuid]=$root_uuid [boot]=${xvd}a2 [boot-fs]=xfs
		[boot-uuid]=$root_uuid [disk]=${xvd}a [partmap]=gpt [abstraction]='' [hint]=hd0,gpt2)
	grub_config "$tree"

	printf 'label: gpt\nlabel-id: 5CA1AB1E-5EED-4AAA-8BBB-000000000003\n%s\n%s\n' \
		"start=2048, size=$esp, type=U, uuid=5CA1AB1E-5EED-4AAA-8BBB-000000000004" \
		"start=$root, size=$((sectors - root - 2048)), type=L, uuid=5CA1AB1E-5EED-4AAA-8BBB-000000000005" |
		partition "$image"
	esp "$image" 2048 "$esp" "$tree/usr/lib/grub/x86_64-efi"
	xfs "$image" "$root" $((sectors - root - 2048)) "$tree" "$root_uuid"
}

# The root on ext4 in a logical volume, which GRUB reads itself; /var on XFS on a second disk.
disk_twodisks() {
	local tree=$1 image=$2
	fstab "$tree" "/dev/mapper/vg-root / ext4 errors=remount-ro 0 1" "${xvd}b1 /var xfs defaults 0 2"
	local -A about=([root]=/dev/mapper/vg-root [root-fs]=ext2 [root-uuid]=$root_uuid [boot]=/dev/mapper/vg-root
		[boot-fs]=ext2 [boot-uuid]=$root_uuid [disk]=${xvd}a [partmap]=msdos [abstraction]=lvm [hint]=lvm/vg-root)
	name_root_volume "$tree"
	grub_config "$tree"

	printf 'label: dos\nlabel-id: 0x76636f6e\nstart=2048, type=8e, bootable\n' | partition "$image"
	volume_group "$image" 2048 $((sectors - 2048)) vg root=2560
	truncate -s 1G "${image}2"
	printf 'label: dos\nlabel-id: 0x76636f6f\nstart=2048, type=83\n' | partition "${image}2"
	xfs "${image}2" 2048 $(((1 << 21) - 2048)) "$tree/var" "$var_uuid"
	aside "$tree/var"
	filesystem "$image" "${volume[root]}" $((2560 << 11)) "$tree" -t ext4 -U "$root_uuid"
	back "$tree/var"
	grub "$image" "$tree/usr/lib/grub/i386-pc" '(lvm/vg-root)/boot/grub' 1 part_msdos lvm ext2
}

# The root on ext4 in LUKS2. Few iterations: under an emulator each costs thousands of times what it does on a machine.
disk_luks() {
	local tree=$1 image=$2 boot=$((256 << 11)) root=$((1152 << 11)) header=$((32 << 11)) start
	start=$((2048 + boot))
	fstab "$tree" "/dev/mapper/${xvd#/dev/}a2_crypt / ext4 errors=remount-ro 0 1" "${xvd}a1 /boot ext4 defaults 0 2"
	local -A about=([root]=/dev/mapper/${xvd#/dev/}a2_crypt [root-fs]=ext2 [root-uuid]=$root_uuid [boot]=${xvd}a1
		[boot-fs]=ext2 [boot-uuid]=$boot_uuid [disk]=${xvd}a [partmap]=msdos [abstraction]='' [hint]=hd0,msdos1)
	unlock_root "$tree"
	grub_config "$tree"

	printf 'label: dos\nlabel-id: 0x76636f6e\nstart=2048, size=%d, type=83, bootable\nstart=%d, size=%d, type=83\n' \
		"$boot" "$start" "$root" | partition "$image"
	filesystem "$image" 2048 "$boot" "$tree/boot" -t ext4 -U "$boot_uuid"
	truncate -s $((root * 512)) "$image.part"
	aside "$tree/boot"
	filesystem "$image.part" 0 $((root - header)) "$tree" -t ext4 -U "$root_uuid"
	back "$tree/boot"
	printf %s "$passphrase" | cryptsetup -q reencrypt --encrypt --type luks2 --uuid "$luks_uuid" --key-file - \
		--reduce-device-size $((header * 512)) --pbkdf pbkdf2 --pbkdf-force-iterations 1000 "$image.part" >&2
	place "$image.part" "$image" "$start"
	rm "$image.part"
	grub "$image" "$tree/usr/lib/grub/i386-pc" '(,msdos1)/grub' 1 part_msdos ext2
}

# unlock_root TREE: crypttab and an initramfs with it. There, on a running guest, the device's name is replaced by its
# UUID (cryptsetup-initramfs); that the root is in need of it has to be said, as there is no root to look at.
unlock_root() {
	local name=${xvd#/dev/}a2_crypt
	printf '%s\n' dm-crypt aesni-intel xts sha256_generic algif_skcipher >>"$1/etc/initramfs-tools/modules"
	printf '%s UUID=%s none luks,discard,initramfs\n' "$name" "$luks_uuid" >"$1/etc/crypttab"
	within "$1" update-initramfs -u -k all >&2
	printf '%s %sa2 none luks,discard\n' "$name" "$xvd" >"$1/etc/crypttab"
}

# name_root_volume TREE: dracut activates the logical volumes that its command line names.
name_root_volume() {
	[ ! -e "$1/usr/bin/dracut" ] || sed -i "s|console=$console|& rd.lvm.lv=vg/root|" "$1/etc/default/grub"
}

# volume_group IMAGE SECTOR SECTORS VG NAME=MIB...: a physical volume with a linear logical volume for each NAME; the
# table "volume" then holds their first sectors.
volume_group() {
	local image=$1 start=$2 sectors=$3 vg=$4 loop config name first extent data lvs
	shift 4
	loop=$(losetup --find --show --offset $((start * 512)) --sizelimit $((sectors * 512)) "$image")
	config="devices { filter=[\"a|^$loop\$|\",\"r|.*|\"] global_filter=[\"a|^$loop\$|\",\"r|.*|\"] use_devicesfile=0 }
		backup { backup=0 archive=0 }"
	without_mapper vgcreate -q -s 4m "$vg" "$loop" >&2
	for name; do
		without_mapper lvcreate -qq -y -an -Zn -Wn -n "${name%=*}" -L "${name#*=}m" "$vg" >&2
	done
	lvs=$(without_mapper lvs --segments --noheadings --nosuffix --units s -o lv_name,seg_pe_ranges,vg_extent_size "$vg")
	data=$(without_mapper pvs --noheadings --nosuffix --units s -o pe_start "$loop")
	losetup --detach "$loop"
	declare -gA volume=()
	while read -r name first extent; do
		first=${first#*:}
		volume[$name]=$((start + data + ${first%-*} * extent))
	done <<<"$lvs"
	[ ${#volume[@]} = $# ] || die "not $# logical volumes of one segment: $lvs"
}

# without_mapper COMMAND ARGUMENT...: one of LVM's, on the caller's $config.
without_mapper() {
	local command=$1
	shift
	{ LVM_SUPPRESS_FD_WARNINGS=1 lvm "$command" --driverloaded n --config "$config" "$@" 2>&1 >&3 |
		grep -v 'Activation disabled\|NOT backed up\|not zeroed' >&2 || true; } 3>&1
	return "${PIPESTATUS[0]}"
}

# xfs IMAGE SECTOR SECTORS TREE UUID: an XFS at a sector of IMAGE that holds TREE, as the kernel writes it.
xfs() {
	local image=$1 start=$2 sectors=$3 tree=$4 uuid=$5 loop mnt
	loop=$(losetup --find --show --offset $((start * 512)) --sizelimit $((sectors * 512)) "$image")
	mkfs.xfs -q -m uuid="$uuid" "$loop"
	mnt=$(mktemp -d)
	mount -o nouuid "$loop" "$mnt"
	cp -a "$tree/." "$mnt"
	umount "$mnt"
	rmdir "$mnt"
	losetup --detach "$loop"
}

# esp IMAGE SECTOR SECTORS MODULES: a FAT32 with GRUB in EFI/debian, and the file there that sends it on to /boot.
esp() {
	local image=$1 start=$2 sectors=$3 modules=$4 part=$1.part work
	work=$(mktemp -d)
	grub-mkimage -O x86_64-efi -d "$modules" -p /EFI/debian -o "$work/grubx64.efi" \
		part_gpt part_msdos fat ext2 xfs lvm search search_fs_uuid configfile normal linux echo test
	printf '%s\n' "search.fs_uuid $root_uuid root hd0,gpt2 " "set prefix=(\$root)'/boot/grub'" \
		'configfile $prefix/grub.cfg' >"$work/grub.cfg"
	truncate -s $((sectors * 512)) "$part"
	mkfs.fat -F 32 -i "$esp_serial" -n ESP "$part" >/dev/null
	mmd -i "$part" ::EFI ::EFI/debian
	mcopy -i "$part" "$work/grubx64.efi" "$work/grub.cfg" ::EFI/debian/
	if [ "$dress" = kvm ]; then # what the conversion of the other has to do
		mmd -i "$part" ::EFI/BOOT
		mcopy -i "$part" "$work/grubx64.efi" ::EFI/BOOT/BOOTX64.EFI
	fi
	place "$part" "$image" "$start"
	rm -r "$part" "$work"
}

# aside FOLDER, back FOLDER: leave an empty folder in a tree for what is mounted there.
aside() {
	mv "$1" "${tree%/}.aside"
	mkdir "$1"
}
back() {
	rmdir "$1"
	mv "${tree%/}.aside" "$1"
}
