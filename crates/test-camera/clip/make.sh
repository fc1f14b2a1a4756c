#!/bin/sh
# Makes the test camera's clips from nothing but ffmpeg's own generators (needs ffmpeg with
# libx264 and the DejaVu fonts). The results are committed beside this script; run it again only
# to change them. What they contain is documented in ../src/marks.rs, which decodes it.
#
# 16 s = 400 frames at 25 fps = 750 AAC frames of 1024 samples at 48 kHz = 8 key frame intervals:
# the shortest clip after which video, audio and key frames all start anew together.
set -eu
cd "$(dirname "$0")"
font=/usr/share/fonts/truetype/dejavu/DejaVuSansMono-Bold.ttf

# The lowest sixth of the picture is a row of 16 blocks: white, black, then the frame number in
# ten bits and 15 - (number mod 15) in four, most significant bit first, white being one.
block='floor(16*X/W)'
bit="if(lt($block,12), floor(N/pow(2,11-$block)), floor((15-mod(N,15))/pow(2,15-$block)))"
marks="if(eq($block,0), 1, if(eq($block,1), 0, mod($bit,2)))"
# Above it a still, finely ringed picture, so that key frames are large and the others are not.
rings="clip(lum(X,Y)+50*sin((pow(X-W/2,2)+pow(Y-H/3,2))/W*2), 16, 235)"
picture="geq=lum='if(gte(Y,5*H/6), 16+219*($marks), $rings)'"
picture="$picture:cb='if(gte(Y,5*H/6), 128, cb(X,Y))':cr='if(gte(Y,5*H/6), 128, cr(X,Y))'"

text="fontfile=$font:fontcolor=white:box=1:boxcolor=black:boxborderw=6:text=%{n}"

video() { # file, size, font size, crf
    ffmpeg -hide_banner -loglevel error -y \
        -f lavfi -i "smptehdbars=size=$2:rate=25:duration=16" \
        -vf "format=yuv420p,$picture,drawtext=$text:fontsize=$3:x=(w-text_w)*(1+sin(2*PI*n/100))/2:y=h/4" \
        -c:v libx264 -preset slow -profile:v main -pix_fmt yuv420p -crf "$4" \
        -g 50 -keyint_min 50 -sc_threshold 0 -bf 0 -refs 1 -threads 1 -slices 1 \
        -map_metadata -1 -flags:v +bitexact -bsf:v 'filter_units=remove_types=6' \
        -f h264 "$1"
}

video clip-320x180.h264 320x180 48 26
video clip-256x144.h264 256x144 36 38

# A tone whose pitch is 500 Hz + 250 Hz per second of clip. Its phase is whole after 16 s, so the
# loop has no click. Three rounds are encoded and the middle one kept, less the encoder's delay of
# one AAC frame: AAC frame k of the file decodes to the samples from 1024 k on, before the loop
# point and after it. The coder is the one that leaves a rising tone clean, 26 dB and more above its
# noise, and its tools that put noise in a tone's place are off.
ffmpeg -hide_banner -loglevel error -y \
    -f lavfi -i "aevalsrc='0.5*sin(2*PI*(500*mod(t,16)+125*mod(t,16)*mod(t,16)))':s=48000:d=48" \
    -c:a aac -profile:a aac_low -aac_coder fast -aac_pns 0 -aac_tns 0 \
    -ac 1 -ar 48000 -b:a 48k -map_metadata -1 -flags:a +bitexact \
    -bsf:a "noise=amount=0:drop='lt(n,751)+gte(n,1501)'" \
    -f adts clip.aac
