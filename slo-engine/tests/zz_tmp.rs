use std::path::Path; use std::time::Instant;
#[test] fn t() { for n in [10_000, 20_000, 40_000] {
 let mut text = "{apiVersion: slowburn/v1, kind: Service, metadata: {name: a}, spec: {\n".to_owned();
 (0..n).for_each(|n| text.push_str(&format!("unknown{n}: 1,\n"))); text.push_str("}}");
 let at = Instant::now(); let _ = slo_engine::definitions::read_text(Path::new("a"), text.as_bytes()); println!("flow {n} {:?}", at.elapsed());
 let mut text = "apiVersion: slowburn/v1\nkind: Service\nmetadata: {name: a}\nspec:\n".to_owned();
 (0..n).for_each(|n| text.push_str(&format!("  unknown{n}: 1\n")));
 let at = Instant::now(); let _ = slo_engine::definitions::read_text(Path::new("a"), text.as_bytes()); println!("block {n} {:?}", at.elapsed());
 let text = "[".repeat(n); let at = Instant::now(); let _ = slo_engine::definitions::read_text(Path::new("a"), text.as_bytes()); println!("open {n} {:?}", at.elapsed());
 let text = "a: \"".to_owned() + &"x\n ".repeat(n*5) ; let at = Instant::now(); let _ = slo_engine::definitions::read_text(Path::new("a"), text.as_bytes()); println!("quoted {n} {:?}", at.elapsed());
 let text = "? a\n".repeat(n*5) ; let at = Instant::now(); let _ = slo_engine::definitions::read_text(Path::new("a"), text.as_bytes()); println!("complex {n} {:?}", at.elapsed());
 let text = "{}\n---\n".repeat(n*3) ; let at = Instant::now(); let _ = slo_engine::definitions::read_text(Path::new("a"), text.as_bytes()); println!("docs {n} {:?}", at.elapsed());
 let text = "a: &a b\n".repeat(n) + &"- &x x\n".repeat(n) ; let at = Instant::now(); let _ = slo_engine::definitions::read_text(Path::new("a"), text.as_bytes()); println!("anch {n} {:?}", at.elapsed());
 let text = (0..n/10).map(|n| format!("---\napiVersion: slowburn/v1\nkind: Service\nmetadata: {{name: a{n}}}\nspec: {{objectives: {{availability: 99%}}}}\n")).collect::<String>(); let at = Instant::now(); let r = slo_engine::definitions::read_text(Path::new("a"), text.as_bytes()); println!("services {n} {} {:?}", r.unwrap().services.len(), at.elapsed());
}}
