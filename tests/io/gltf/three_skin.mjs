// What three.js makes of a rig: its SkinnedMesh, and where its vertices are in every frame of a clip.
// node three_skin.mjs THREE_FOLDER RIG.glb CLIP FRAMES FPS OUT.f32; prints a line of JSON.
import { readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [folder, file, clip, frames, fps, out] = process.argv.slice(2);
globalThis.self = globalThis; // the loader expects a browser's global
const load = (path) => import(pathToFileURL(`${folder}/${path}`).href);
const three = await load("build/three.module.js");
const { GLTFLoader } = await load("examples/jsm/loaders/GLTFLoader.js");

const bytes = readFileSync(file);
const gltf = await new GLTFLoader().parseAsync(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length), "");
const meshes = [];
gltf.scene.traverse((thing) => thing.isSkinnedMesh && meshes.push(thing));
const [mesh] = meshes;
const motion = gltf.animations[clip];
const mixer = new three.AnimationMixer(gltf.scene);
const action = mixer.clipAction(motion);
action.setLoop(three.LoopOnce);
action.clampWhenFinished = true;
action.play();
const count = mesh.geometry.attributes.position.count;
const places = new Float32Array(frames * count * 3);
const place = new three.Vector3();
for (let frame = 0; frame < frames; frame++) {
  mixer.setTime(frame / fps);
  gltf.scene.updateMatrixWorld(true);
  mesh.skeleton.update();
  for (let vertex = 0; vertex < count; vertex++) {
    mesh.getVertexPosition(vertex, place).applyMatrix4(mesh.matrixWorld);
    place.toArray(places, 3 * (frame * count + vertex));
  }
}
writeFileSync(out, places);
console.log(
  JSON.stringify({
    meshes: meshes.length,
    bones: mesh.skeleton.bones.map((bone) => [bone.name, bone.parent.isBone ? bone.parent.name : ""]),
    clips: gltf.animations.map((one) => [one.name, one.duration]),
    tracks: motion.tracks.map((track) => [track.name, track.times.length]),
  }),
);
