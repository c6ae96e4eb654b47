//! Tables for a terminal: as wide as they must be, no wider than it is.

use std::fmt::Write;

/// Width when standard output is no terminal: nothing is cut.
const UNLIMITED: usize = usize::MAX;
const SHORTEST: usize = 8;

/// Prints rows below their titles.
pub fn print(titles: &[&str], rows: &[Vec<String>]) {
    let width = terminal_size::terminal_size().map_or(UNLIMITED, |(width, _)| usize::from(width.0));
    print!("{}", text(titles, rows, width));
}

fn text(titles: &[&str], rows: &[Vec<String>], width: usize) -> String {
    let clean = |cell: &str| cell.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| clean(cell)).collect()).collect();
    let longest = |column: usize, title: &str| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([title.chars().count()]).max().unwrap_or(0)
    };
    let mut widths: Vec<usize> =
        titles.iter().enumerate().map(|(column, title)| longest(column, title)).collect();
    shrink(&mut widths, width.saturating_sub(3 * titles.len() + 1));
    let line: String =
        widths.iter().map(|width| format!("+{}", "-".repeat(width + 2))).collect::<String>() + "+\n";
    let mut out = line.clone();
    for (cell, width) in titles.iter().zip(&widths) {
        let _ = write!(out, "| {:width$} ", cut(cell, *width));
    }
    out.push_str("|\n");
    out.push_str(&line);
    for row in &rows {
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(out, "| {:width$} ", cut(cell, *width));
        }
        out.push_str("|\n");
    }
    out + &line
}

/// Takes from the widest column until all fit together.
fn shrink(widths: &mut [usize], room: usize) {
    while widths.iter().sum::<usize>() > room {
        match widths.iter_mut().max() {
            Some(widest) if *widest > SHORTEST => *widest -= 1,
            _ => return,
        }
    }
}

fn cut(cell: &str, width: usize) -> String {
    if cell.chars().count() <= width {
        return cell.to_owned();
    }
    cell.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fits_where_it_is_shown() {
        let rows = vec![
            vec!["1".to_owned(), "a long description".to_owned()],
            vec!["22".to_owned(), "x\ny".to_owned()],
        ];
        let wide = "+----+--------------------+\n| id | description        |\n+----+--------------------+\n| 1  | a long description |\n| 22 | x y                |\n+----+--------------------+\n";
        assert_eq!(text(&["id", "description"], &rows, UNLIMITED), wide);
        let narrow = text(&["id", "description"], &rows, 20);
        assert!(narrow.lines().all(|line| line.chars().count() == 20), "{narrow}");
        assert!(narrow.contains("| a long des… |"), "{narrow}");
    }
}
